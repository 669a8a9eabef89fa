import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { projectRoot } from '../../schemas/root.js';
import { MILLRACE } from '../installation/installation.js';

/** Commands that a document tells its reader to type: a fenced block, ```sh <name>. */
export interface Block {
  readonly name: string;
  /** As it stands there. */
  readonly text: string;
}

/** All shell blocks of a document, also those within lists; one without a name is nobody's, and named ''. */
export const blocksOf = (document: string): readonly Block[] => {
  const text = readFileSync(path.join(projectRoot(), document), 'utf8');
  return [...text.matchAll(/^( *)```sh(?: ([\w-]+))?\n([^]*?)^\1```$/gm)].map(
    ([, indent = '', name = '', commands = '']) => ({
      name,
      text: commands.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
    }),
  );
};

/** @throws where the document has no such block */
export const block = (document: string, name: string): string => {
  const found = blocksOf(document).find((one) => one.name === name);
  if (found === undefined) throw new Error(`${document} has no block marked sh ${name}`);
  return found.text;
};

export interface Ended {
  readonly code: number | null;
  /** Both streams, in the order in which they came. */
  readonly said: string;
}

/** Runs a script in bash, in the project's folder, without colours (which a build server's CI=true would switch on). */
export const shell = (
  script: string,
  env: Readonly<Record<string, string | undefined>>,
  deadlineMs: number,
): Promise<Ended> =>
  new Promise((resolve) => {
    const options = { cwd: projectRoot(), env: { ...env, NO_COLOR: '1' }, timeout: deadlineMs };
    const child = execFile('bash', ['-c', `exec 2>&1\n${script}`], options, (_error, stdout) => {
      resolve({ code: child.exitCode, said: stdout });
    });
  });

const COMMANDS_MS = 60_000;

/** Commands that know no configuration. */
const WITHOUT_DIR = ['transactions abort'];

/**
 * A runbook's commands as an operator types them, one after another, whatever they end with; `millrace` is this
 * checkout's unless another is given, with the folder of configuration that CONFIG names. Its exit code is the last
 * command's.
 */
export const typed = (
  runbook: string,
  name: string,
  env: Readonly<Record<string, string | undefined>>,
  millrace: string = MILLRACE,
): Promise<Ended> =>
  shell(
    `set -u
millrace() {
  case "$1 \${2-}" in
    ${WITHOUT_DIR.map((command) => `'${command}'`).join(' | ')}) '${process.execPath}' '${millrace}' "$@" ;;
    *) '${process.execPath}' '${millrace}' "$@" --dir "$CONFIG" ;;
  esac
}
${block(`docs/operators/${runbook}.md`, name)}`,
    env,
    COMMANDS_MS,
  );
