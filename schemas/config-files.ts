import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';
import { CONFIG_KINDS, absentConfig, configSchemas } from './config.js';
import type { BusinessConfig, ConfigKind } from './config.js';
import { crossCheck } from './config-checks.js';
import { PipelineError, asError } from './error.js';

/** One thing that is wrong, where a person finds it. */
export interface ConfigProblem {
  /** File name within the folder. */
  readonly file: string;
  /** As in YAML: [2].businessLines[0].currency; empty: the file as a whole. */
  readonly path: string;
  readonly message: string;
}

/** The file of a kind. */
export const configFile = (kind: ConfigKind): string => `${kind}.yaml`;

/** A path as YAML's reader thinks of it. */
const pathOf = (keys: readonly PropertyKey[]): string =>
  keys
    .map((key, index) =>
      typeof key === 'number' ? `[${key}]` : `${index === 0 ? '' : '.'}${String(key)}`,
    )
    .join('');

type Read =
  | { readonly value: unknown; readonly problems: readonly [] }
  | { readonly value: null; readonly problems: readonly ConfigProblem[] };

const readKind = (folder: string, kind: ConfigKind): Read =>
  readFile(path.join(folder, configFile(kind)), kind);

const readFile = (place: string, kind: ConfigKind): Read => {
  const file = path.basename(place);
  const absent = absentConfig(kind);
  if (absent !== undefined && !existsSync(place)) return { value: absent, problems: [] };
  try {
    const written: unknown = parse(readFileSync(place, 'utf8'));
    const result = configSchemas[kind].safeParse(written);
    return result.success
      ? { value: result.data, problems: [] }
      : {
          value: null,
          problems: result.error.issues.map(({ path: keys, message }) => ({
            file,
            path: pathOf(keys),
            message,
          })),
        };
  } catch (cause) {
    return { value: null, problems: [{ file, path: '', message: asError(cause).message }] };
  }
};

/** Reads a folder of <kind>.yaml; every problem of every file, or the configuration. */
export const checkConfigFolder = (
  folder: string,
):
  | { readonly config: BusinessConfig; readonly problems: readonly [] }
  | { readonly config: null; readonly problems: readonly ConfigProblem[] } => {
  const reads = CONFIG_KINDS.map((kind) => ({ kind, ...readKind(folder, kind) }));
  const problems = reads.flatMap((read) => [...read.problems]);
  // What refers to another file is judged only when each file is sound: else one slip is told several times.
  if (problems.length > 0) return { config: null, problems };
  const config = Object.fromEntries(
    reads.map(({ kind, value }) => [kind, value]),
  ) as unknown as BusinessConfig;
  const crossed = crossCheck(config).map(({ kind, ...rest }) => ({
    file: configFile(kind),
    ...rest,
  }));
  return crossed.length > 0 ? { config: null, problems: crossed } : { config, problems: [] };
};

/**
 * The business configuration of a folder such as infra/config.
 * @throws PipelineError config_invalid, which lists all that is wrong, a line each: file, path, what
 */
export const readConfigFolder = (folder: string): BusinessConfig => {
  const { config, problems } = checkConfigFolder(folder);
  if (config !== null) return config;
  throw invalid(`the configuration in ${folder}`, problems);
};

const invalid = (what: string, problems: readonly ConfigProblem[]): PipelineError => {
  const lines = problems.map(({ file, path: at, message }) =>
    at === '' ? `  ${file}: ${message}` : `  ${file}: ${at}: ${message}`,
  );
  return new PipelineError(
    'config_invalid',
    [`${what} has ${problems.length} problem(s):`, ...lines].join('\n'),
  );
};

/**
 * A configuration with some kinds read anew from files, checked as a whole.
 * @throws PipelineError config_invalid, as readConfigFolder
 */
export const readChanges = (
  base: BusinessConfig,
  files: ReadonlyMap<ConfigKind, string>,
): BusinessConfig => {
  const reads = [...files].map(([kind, place]) => ({ kind, ...readFile(place, kind) }));
  const problems = reads.flatMap((read) => [...read.problems]);
  if (problems.length > 0) throw invalid('what is changed', problems);
  const config = {
    ...base,
    ...(Object.fromEntries(reads.map(({ kind, value }) => [kind, value])) as object),
  };
  const crossed = crossCheck(config).map(({ kind, ...rest }) => ({
    file: configFile(kind),
    ...rest,
  }));
  if (crossed.length > 0) throw invalid('the changed configuration', crossed);
  return config;
};
