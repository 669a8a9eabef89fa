import { program } from '../millrace.js';
import type { Cli } from '../cli/cli.js';
import { toJson } from '../cli/cli.js';
import { explain } from '../cli/exit.js';
import { readEnvironment } from '../../topologies/config.js';

export interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  /** Of --json. */
  readonly json: () => unknown;
}

/** Command lines as an operator types them, in this process, on connections of their own. */
export const commandLine =
  (variables: Readonly<Record<string, string | undefined>>) =>
  async (...args: readonly string[]): Promise<Said> => {
    const out: string[] = [];
    const err: string[] = [];
    const cli: Cli = {
      print: (line) => out.push(line),
      printJson: (value) => out.push(toJson(value)),
      note: (line) => err.push(line),
      environment: (groups) => readEnvironment(variables, groups),
      variables,
      watched: false,
    };
    const root = await program(cli, args[0]);
    const quiet = (command: typeof root): void => {
      command.exitOverride().configureOutput({ writeErr: (text) => err.push(text) });
      command.commands.forEach(quiet);
    };
    quiet(root);
    let code = 0;
    try {
      await root.parseAsync(['node', 'millrace', ...args]);
    } catch (thrown) {
      code = explain(thrown, (line) => err.push(line), false);
    }
    const text = out.join('\n');
    return { code, out: text, err: err.join('\n'), json: () => JSON.parse(text) as unknown };
  };
