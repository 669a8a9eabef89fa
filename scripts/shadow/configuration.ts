import { existsSync, statSync } from 'node:fs';
import path from 'node:path';
import { configKey } from '../../processors/configuration.js';
import type { ConfigTable } from '../../processors/configuration.js';
import type { BusinessConfig, ConfigKind } from '../../schemas/config.js';
import { CONFIG_KINDS, absentConfig, configSchemas } from '../../schemas/config.js';
import { configFile, readChanges } from '../../schemas/config-files.js';
import { PipelineError } from '../../schemas/error.js';
import type { ConfigEntry } from '../../schemas/generated/records.js';
import { UsageError } from '../cli/exit.js';

/** What workers follow, parsed. @throws PipelineError config_invalid */
export const publishedBusiness = (table: ConfigTable): BusinessConfig =>
  Object.fromEntries(
    CONFIG_KINDS.map((kind) => {
      const entry = table.get(configKey(kind));
      const absent = absentConfig(kind);
      if (entry === undefined && absent !== undefined) return [kind, absent];
      if (entry === undefined)
        throw new PipelineError('config_invalid', `no ${kind} configuration is published`);
      return [kind, configSchemas[kind].parse(JSON.parse(entry.body))];
    }),
  ) as unknown as BusinessConfig;

/** The files that --policy names: one <kind>.yaml, or those of a folder. @throws UsageError */
const filesOf = (where: string): ReadonlyMap<ConfigKind, string> => {
  const place = path.resolve(where);
  if (!existsSync(place)) throw new UsageError(`--policy ${where}: no such file or folder`);
  const folder = statSync(place).isDirectory() ? place : path.dirname(place);
  const only = statSync(place).isDirectory() ? null : path.basename(place);
  const found = new Map(
    CONFIG_KINDS.filter((kind) => only === null || configFile(kind) === only)
      .map((kind) => [kind, path.join(folder, configFile(kind))] as const)
      .filter(([, file]) => existsSync(file)),
  );
  if (found.size === 0)
    throw new UsageError(
      `--policy ${where}: none of ${CONFIG_KINDS.map(configFile).join(', ')} there`,
    );
  return found;
};

/** The published configuration with the changed files in place of its own; and which they are. */
export const changedBusiness = (
  published: BusinessConfig,
  where: string,
): { readonly config: BusinessConfig; readonly kinds: readonly ConfigKind[] } => {
  const files = filesOf(where);
  return { config: readChanges(published, files), kinds: [...files.keys()] };
};

/** As stages see it. */
export const tableOfBusiness = (config: BusinessConfig): ConfigTable => {
  const entries = new Map(
    CONFIG_KINDS.map((kind): [string, ConfigEntry] => [
      configKey(kind),
      {
        kind,
        name: 'all',
        version: 'shadow',
        body: JSON.stringify(config[kind]),
        appliedAt: 0,
        appliedBy: 'shadow',
      },
    ]),
  );
  return { get: (key) => entries.get(key), entries: () => entries.entries() };
};
