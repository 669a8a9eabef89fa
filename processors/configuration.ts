import type {
  BreakerConfig,
  BusinessConfig,
  ChannelConfig,
  ConfigKind,
  LanesConfig,
  PolicyConfig,
  RechargeConfig,
  TemplateConfig,
  TenantConfig,
  WindowsConfig,
} from '../schemas/config.js';
import { configSchemas } from '../schemas/config.js';
import { PipelineError } from '../schemas/error.js';
import type { ConfigEntry } from '../schemas/generated/records.js';
import type { GlobalTable } from './processor.js';

/**
 * The `config` table, typed. Each entry is parsed once, however many records ask: the memo hangs on the entry's
 * identity, so a newly applied configuration is a new entry and is parsed anew.
 */
export type ConfigTable = GlobalTable<ConfigEntry>;

/** The key of a kind's entry in the `config` topic. */
export const configKey = (kind: ConfigKind): string => `${kind}/all`;

const memoised = <K extends ConfigKind, T>(kind: K, shape: (value: BusinessConfig[K]) => T) => {
  const parsed = new WeakMap<ConfigEntry, { readonly value: T }>();
  return (table: ConfigTable): T => {
    const entry = table.get(configKey(kind));
    // Not an empty default: an unknown tenant would be refused for good because a table was empty.
    if (entry === undefined)
      throw new PipelineError(
        'config_invalid',
        `no ${kind} configuration is published: run \`millrace config apply\``,
      );
    const known = parsed.get(entry);
    if (known !== undefined) return known.value;
    const value = shape(parse(kind, entry));
    parsed.set(entry, { value });
    return value;
  };
};

const parse = <K extends ConfigKind>(kind: K, entry: ConfigEntry): BusinessConfig[K] => {
  try {
    return configSchemas[kind].parse(JSON.parse(entry.body)) as BusinessConfig[K];
  } catch (cause) {
    throw new PipelineError(
      'config_invalid',
      `the published ${kind} configuration (version ${entry.version}) does not fit this release: run \`millrace config apply\``,
      cause,
    );
  }
};

const byName = <T>(list: readonly T[], name: (item: T) => string): ReadonlyMap<string, T> =>
  new Map(list.map((item) => [name(item), item]));

/** Tenants by id. */
export const tenantsOf: (table: ConfigTable) => ReadonlyMap<string, TenantConfig> = memoised(
  'tenants',
  (tenants) => byName(tenants, ({ id }) => id),
);

/** Templates by id. */
export const templatesOf: (table: ConfigTable) => ReadonlyMap<string, TemplateConfig> = memoised(
  'templates',
  (templates) => byName(templates, ({ id }) => id),
);

/** Channels by name. */
export const channelsOf: (table: ConfigTable) => ReadonlyMap<string, ChannelConfig> = memoised(
  'channels',
  (channels) => byName(channels, ({ name }) => name),
);

export const policyOf: (table: ConfigTable) => PolicyConfig = memoised(
  'policy',
  (policy) => policy,
);
export const windowsOf: (table: ConfigTable) => WindowsConfig = memoised('windows', (all) => all);
export const breakerOf: (table: ConfigTable) => BreakerConfig = memoised('breaker', (all) => all);
export const rechargeOf: (table: ConfigTable) => RechargeConfig = memoised(
  'recharge',
  (all) => all,
);
export const lanesOf: (table: ConfigTable) => LanesConfig = memoised('lanes', (all) => all);
