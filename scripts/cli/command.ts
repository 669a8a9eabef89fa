import { Command } from 'commander';

/** A command whose help ends with examples: people read those first. */
export const command = (name: string, description: string, examples: readonly string[]): Command =>
  new Command(name)
    .description(description)
    .addHelpText('after', `\nExamples:\n${examples.map((line) => `  $ ${line}`).join('\n')}`)
    .showHelpAfterError('(--help shows the options)')
    .helpOption('-h, --help', 'show this');
