import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parseEnv } from 'node:util';
import { projectRoot } from '../../schemas/root.js';

type Variables = Readonly<Record<string, string | undefined>>;

export interface Surroundings {
  readonly variables: Variables;
  /** Names that came from .stack/env, because nobody set them. */
  readonly fromStack: readonly string[];
}

const FILE = '.stack/env';

/**
 * The process's environment; where KAFKA_BROKERS is unset and a local stack was set up here, with the stack's
 * variables filled in. What is set by hand always wins.
 */
export const surroundings = (own: Variables, root: string = projectRoot()): Surroundings => {
  const file = path.join(root, FILE);
  if ((own['KAFKA_BROKERS'] ?? '') !== '' || !existsSync(file))
    return { variables: own, fromStack: [] };
  const stack = parseEnv(readFileSync(file, 'utf8').replaceAll(/^export /gm, ''));
  const fromStack = Object.keys(stack).filter(
    (name) => (own[name] ?? '') === '' && (own[`${name}_FILE`] ?? '') === '',
  );
  return {
    variables: { ...own, ...Object.fromEntries(fromStack.map((name) => [name, stack[name]])) },
    fromStack,
  };
};
