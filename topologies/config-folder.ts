import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';
import type { BusinessConfig, ConfigKind } from '../schemas/config.js';
import { CONFIG_KINDS, configSchemas } from '../schemas/config.js';
import { PipelineError, asError } from '../schemas/error.js';

type Variables = Readonly<Record<string, string | undefined>>;

/** ${NAME} in a value is replaced before parsing, so that one folder serves several installations. */
const substituted = (text: string, variables: Variables, missing: Set<string>): string =>
  text.replace(/\$\{([A-Z][A-Z0-9_]*)\}/g, (_, name: string) => {
    const value = variables[name];
    if (value === undefined) missing.add(name);
    return value ?? '';
  });

const readKind = (
  folder: string,
  kind: ConfigKind,
  variables: Variables,
  errors: string[],
): unknown => {
  const file = path.join(folder, `${kind}.yaml`);
  if (!existsSync(file)) {
    errors.push(`${kind}.yaml is not there`);
    return undefined;
  }
  const missing = new Set<string>();
  let raw: unknown;
  try {
    raw = parse(substituted(readFileSync(file, 'utf8'), variables, missing));
  } catch (thrown) {
    errors.push(`${kind}.yaml: ${asError(thrown).message.split('\n')[0] ?? 'not YAML'}`);
    return undefined;
  }
  for (const name of missing)
    errors.push(`${kind}.yaml: \${${name}} is not set in the environment`);
  // What follows from an empty value says nothing new.
  if (missing.size > 0) return undefined;
  const parsed = configSchemas[kind].safeParse(raw);
  if (parsed.success) return parsed.data;
  for (const issue of parsed.error.issues)
    errors.push(
      `${kind}.yaml: ${issue.path.length > 0 ? `${issue.path.join('.')}: ` : ''}${issue.message}`,
    );
  return undefined;
};

const repeated = (names: readonly string[]): string[] => [
  ...new Set(names.filter((name, index) => names.indexOf(name) !== index)),
];

/** What no single file can know: that names it uses exist elsewhere, and that no name is used twice. */
const crossChecks = (config: BusinessConfig): string[] => {
  const errors: string[] = [];
  const channels = new Set(config.channels.map((channel) => channel.name));
  const tenants = new Set(config.tenants.map((tenant) => tenant.id));
  const expectKnown = (where: string, used: readonly string[], known: ReadonlySet<string>) => {
    for (const name of used)
      if (!known.has(name)) errors.push(`${where}: ${name} is not configured`);
  };
  const expectOnce = (where: string, names: readonly string[]) => {
    for (const name of repeated(names)) errors.push(`${where}: ${name} is there twice`);
  };
  expectOnce(
    'tenants.yaml',
    config.tenants.map((tenant) => tenant.id),
  );
  expectOnce(
    'templates.yaml',
    config.templates.map((template) => template.id),
  );
  expectOnce(
    'channels.yaml',
    config.channels.map((channel) => channel.name),
  );
  for (const tenant of config.tenants)
    expectOnce(
      `tenants.yaml: ${tenant.id}: businessLines`,
      tenant.businessLines.map((line) => line.name),
    );
  for (const channel of config.channels)
    expectOnce(
      `channels.yaml: ${channel.name}: providers`,
      channel.providers.map((provider) => provider.name),
    );
  for (const template of config.templates)
    expectKnown(`templates.yaml: ${template.id}: tenants`, template.tenants, tenants);
  expectKnown('policy.yaml: defaultChannels', config.policy.defaultChannels, channels);
  for (const rule of config.policy.rules)
    expectKnown(`policy.yaml: rule "${rule.name}"`, rule.channels, channels);
  return errors;
};

/**
 * Every kind of business configuration from <folder>/<kind>.yaml.
 * @throws PipelineError `config_invalid` that lists every error of every file, one a line.
 */
export const readConfigFolder = (folder: string, variables: Variables): BusinessConfig => {
  const errors: string[] = [];
  const read = Object.fromEntries(
    CONFIG_KINDS.map((kind) => [kind, readKind(folder, kind, variables, errors)]),
  ) as unknown as BusinessConfig;
  if (errors.length === 0) errors.push(...crossChecks(read));
  if (errors.length > 0)
    throw new PipelineError(
      'config_invalid',
      `${errors.length} ${errors.length === 1 ? 'error' : 'errors'} in ${folder}:\n${errors.map((error) => `  ${error}`).join('\n')}`,
    );
  return read;
};
