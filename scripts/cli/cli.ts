import pc from 'picocolors';
import type { Environment, EnvironmentGroup } from '../../topologies/config.js';
import { readEnvironment } from '../../topologies/config.js';
import type { Surroundings } from './stack-env.js';

/** What every command may use of the world. Results go to stdout, everything said along the way to stderr. */
export interface Cli {
  /** A result, for people. */
  readonly print: (line: string) => void;
  /** A result, for machines: one JSON document. bigint becomes a number where it is exact, else text. */
  readonly printJson: (value: unknown) => void;
  /** Something by the way, dim. */
  readonly note: (line: string) => void;
  /** @throws PipelineError `config_invalid` that names every variable at fault. */
  readonly environment: <G extends EnvironmentGroup>(groups: readonly G[]) => Pick<Environment, G>;
  /** The variables themselves, for ${NAME} in configuration files. */
  readonly variables: Surroundings['variables'];
  /** Someone is watching: progress bars and colours make sense. */
  readonly watched: boolean;
}

const jsonNumber = (_: string, value: unknown): unknown => {
  if (typeof value !== 'bigint') return value;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value.toString();
};
export const toJson = (value: unknown, indent?: number): string =>
  JSON.stringify(value, jsonNumber, indent);

export const processCli = ({ variables, fromStack }: Surroundings): Cli => {
  // `millrace ... | head` is no error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    process.exit(error.code === 'EPIPE' ? 0 : 1);
  });
  const note = (line: string) => {
    process.stderr.write(`${pc.dim(line)}\n`);
  };
  let said = fromStack.length === 0;
  return {
    print: (line) => {
      process.stdout.write(`${line}\n`);
    },
    printJson: (value) => {
      process.stdout.write(`${toJson(value, 2)}\n`);
    },
    note,
    environment: (groups) => {
      if (!said) note(`connections from .stack/env (the local stack), as KAFKA_BROKERS is not set`);
      said = true;
      return readEnvironment(variables, groups);
    },
    variables,
    watched: process.stderr.isTTY,
  };
};
