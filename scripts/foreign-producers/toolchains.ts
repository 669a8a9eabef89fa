import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { projectRoot } from '../../schemas/root.js';

/** Installing from a package registry, once per machine. */
const INSTALL_DEADLINE_MS = 240_000;
const RUN_DEADLINE_MS = 60_000;
const MOST_OUTPUT_BYTES = 64 * 1_024 * 1_024;

export const examples = path.join(projectRoot(), 'docs', 'examples');

const PACKAGES: Readonly<Record<string, string>> = {
  python3: 'python3 and python3-venv',
  mvn: 'maven',
  java: 'a JDK, 17 or later',
};

/** Runs a program to its end and answers its standard output. */
export const run = (
  program: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly deadlineMs?: number } = {},
): Promise<string> =>
  new Promise((resolve, reject) => {
    const { cwd, deadlineMs = RUN_DEADLINE_MS } = options;
    const settings = { cwd, timeout: deadlineMs, maxBuffer: MOST_OUTPUT_BYTES };
    execFile(program, [...args], settings, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else if (error.code === 'ENOENT')
        reject(new Error(`${program} is missing: install ${PACKAGES[program] ?? program}`));
      else {
        const why = error.killed === true ? `not done within ${deadlineMs} ms` : error.message;
        reject(new Error(`${program} ${args[0] ?? ''}: ${why}\n${stderr.slice(-4_000)}`));
      }
    });
  });

/** Outside the checkout, so that fresh clones share it. */
const cacheFolder = (): string => {
  const base = process.env['XDG_CACHE_HOME'] ?? path.join(os.homedir(), '.cache');
  return process.env['MILLRACE_CACHE'] ?? path.join(base, 'millrace');
};

/** A folder named by what it was made from, made once. A half-made one has no mark and is made anew. */
const made = async (
  name: string,
  sources: readonly string[],
  make: (folder: string) => Promise<void>,
): Promise<string> => {
  const hash = createHash('sha256');
  for (const source of sources) hash.update(source).update('\0');
  const folder = path.join(cacheFolder(), `${name}-${hash.digest('hex').slice(0, 12)}`);
  const mark = path.join(folder, '.made');
  if (existsSync(mark)) return folder;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  await make(folder);
  writeFileSync(mark, '');
  return folder;
};

/** A Python with the packages of the example's requirements. */
export const pythonCommand = async (): Promise<string> => {
  const requirements = path.join(examples, 'python', 'requirements.txt');
  const version = await run('python3', ['--version']);
  const sources = [version, readFileSync(requirements, 'utf8')];
  const folder = await made('foreign-python', sources, async (venv) => {
    await run('python3', ['-m', 'venv', venv], { deadlineMs: INSTALL_DEADLINE_MS });
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check'];
    const python = path.join(venv, 'bin', 'python');
    await run(python, [...pip, '-r', requirements], { deadlineMs: INSTALL_DEADLINE_MS });
  });
  return path.join(folder, 'bin', 'python');
};

const filesIn = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .filter((file) => !file.includes(`${path.sep}target${path.sep}`))
    .sort();

/** Class path of the compiled Java example and what it needs. */
export const javaClassPath = async (): Promise<string> => {
  const sources = path.join(examples, 'java');
  const texts = filesIn(sources).map((file) => readFileSync(file, 'utf8'));
  const folder = await made('foreign-java', texts, async (copy) => {
    cpSync(sources, copy, { recursive: true });
    const goals = ['compile', 'dependency:copy-dependencies'];
    const options = ['-DincludeScope=runtime', '-DoutputDirectory=target/lib'];
    const settings = { cwd: copy, deadlineMs: INSTALL_DEADLINE_MS };
    await run('mvn', ['-q', '-B', ...goals, ...options], settings);
  });
  const target = path.join(folder, 'target');
  return [path.join(target, 'classes'), path.join(target, 'lib', '*')].join(path.delimiter);
};
