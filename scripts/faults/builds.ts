import { execFile } from 'node:child_process';
import { cpSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import type { AvroNode } from '../../schemas/avsc-files.js';
import { RECORD_NAMES, compatibilityOf } from '../../schemas/record-types.js';
import { projectRoot, releaseVersion } from '../../schemas/root.js';
import { MILLRACE, type Variables } from '../installation/installation.js';

/** Of Millrace, from which workers can be started. */
export interface Build {
  readonly release: string;
  /** Its command's file. */
  readonly millrace: string;
}

export const thisBuild = (): Build => ({ release: releaseVersion(), millrace: MILLRACE });

const FOLDERS = ['dist', 'schemas', 'processors', 'sinks', 'topologies', 'infra', 'scripts'];

/**
 * The release that follows this one, as a build in a folder of its own: the compiled code of this one, where
 * every format is written in the newest version that this one reads, and every record that we write has a field more.
 * Until there is an earlier tag to build, this is the other side of an upgrade.
 */
export const nextBuild = (folder: string): Build => {
  for (const name of FOLDERS)
    cpSync(path.join(projectRoot(), name), path.join(folder, name), {
      recursive: true,
      // The command warns of sources that are newer than the build; here there are none to build from.
      filter: (source) => !source.endsWith('.ts'),
    });
  const [major = 0, minor = 0] = releaseVersion().split('.').map(Number);
  const release = `${major}.${minor + 1}.0`;
  edit(path.join(projectRoot(), 'package.json'), path.join(folder, 'package.json'), (text) =>
    text.replace(`"version": "${releaseVersion()}"`, `"version": "${release}"`),
  );
  const formats = path.join(folder, 'dist', 'schemas', 'formats.js');
  edit(formats, formats, (text) =>
    text.replaceAll(/writes: \d+, reads: (\d+)/g, 'writes: $1, reads: $1'),
  );
  addFields(path.join(folder, 'schemas', 'avro'), release);
  return { release, millrace: path.join(folder, 'scripts', 'millrace.cjs') };
};

/** @throws Error where it changes nothing: then the builds would be one and the same, and no run would say so */
const edit = (from: string, to: string, change: (text: string) => string): void => {
  const text = readFileSync(from, 'utf8');
  const changed = change(text);
  if (changed === text) throw new Error(`nothing to change in ${from}`);
  writeFileSync(to, changed);
};

/** Not null by default: code that knows nothing of the field writes a value that an older reader must leave out. */
const addFields = (folder: string, release: string): void => {
  const ours = new Set<string>(
    RECORD_NAMES.filter((name) => compatibilityOf(name) === 'FULL_TRANSITIVE'),
  );
  for (const file of readdirSync(folder)) {
    const node = JSON.parse(readFileSync(path.join(folder, file), 'utf8')) as AvroNode;
    if (!ours.has(node.name ?? '')) continue;
    const field = { name: 'writtenBy', type: 'string', doc: 'The release.', default: release };
    writeFileSync(
      path.join(folder, file),
      JSON.stringify({ ...node, fields: [...(node.fields ?? []), field] }),
    );
  }
};

const run = promisify(execFile);
/** A registry or a Postgres that is away just then is back by the end of them. */
const TRIES = 10;
const BETWEEN_TRIES_MS = 3_000;

/** What a release needs before its first worker starts; all of it can be done again. */
export const deploy = async (
  { millrace }: Build,
  variables: Variables,
  dir: string,
): Promise<void> => {
  const options = ['--dir', dir];
  for (const command of ['schemas register', 'config apply'])
    await patiently(() =>
      run(process.execPath, [millrace, ...command.split(' '), ...options], { env: variables }),
    );
};

const patiently = async (attempt: () => Promise<unknown>, triesLeft = TRIES): Promise<void> => {
  try {
    await attempt();
  } catch (error) {
    if (triesLeft === 1) throw error;
    await new Promise((resolve) => setTimeout(resolve, BETWEEN_TRIES_MS));
    await patiently(attempt, triesLeft - 1);
  }
};
