import type { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import type { Cli } from './cli/cli.js';
import { program } from './millrace.js';

const printed: string[] = [];
const cli: Cli = {
  print: (line) => {
    printed.push(line);
  },
  printJson: (value) => {
    printed.push(JSON.stringify(value));
  },
  note: () => undefined,
  environment: () => {
    throw new Error('this command asks nobody');
  },
  variables: { TOPIC_PREFIX: 'x.' },
  watched: false,
};

const leaves = (command: Command, path: string): { path: string; command: Command }[] =>
  command.commands.length === 0
    ? [{ path, command }]
    : command.commands.flatMap((one) => leaves(one, `${path} ${one.name()}`));

const helpOf = (command: Command): string => {
  let text = '';
  command.configureOutput({
    writeOut: (part) => {
      text += part;
    },
  });
  command.outputHelp();
  return text;
};

const all = leaves(await program(cli), 'millrace');

describe('the help', () => {
  test.each(all)('of $path teaches by example', ({ path, command }) => {
    const help = helpOf(command);
    expect(command.description()).not.toBe('');
    expect(help).toContain('Examples:');
    expect(help).toContain(path.replace('millrace ', ''));
  });

  test.each([...new Set(all.map(({ path }) => path.split(' ')[1] ?? ''))])(
    'of %s is that of a program without the other commands',
    async (name) => {
      const { commands } = await program(cli, name);
      expect(commands.map((command) => command.name())).toEqual([name]);
    },
  );

  test('names the first steps and the exit codes', async () => {
    const help = helpOf(await program(cli));
    expect(help).toContain('millrace config apply');
    expect(help).toContain('Exit codes: 0');
  });
});

test('what asks nobody works without connections', async () => {
  printed.length = 0;
  await (
    await program(cli)
  ).parseAsync(['node', 'millrace', 'topology', 'describe', '--lane', 'p0', '--json']);
  expect(printed.join('')).toContain('x.ingest.p0');
  printed.length = 0;
  await (
    await program(cli, 'acls')
  ).parseAsync(['node', 'millrace', 'acls', 'print', '--principal', 'send=User:s']);
  expect(printed.join('\n')).toContain("--allow-principal 'User:s'");
});
