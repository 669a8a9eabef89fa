import type { ProviderConfig } from '../../schemas/config.js';
import { PipelineError } from '../../schemas/error.js';
import type { ProviderContext } from './provider.js';

/** The name of the environment variable that a setting names; empty where it is not set. */
export const variableOf = (config: ProviderConfig, setting: string): string => {
  const name = config.settings[setting];
  return typeof name === 'string' ? name : '';
};

/** @throws PipelineError config_invalid naming provider and setting */
export const requiredSetting = (config: ProviderConfig, setting: string): string => {
  const value = config.settings[setting];
  if (typeof value === 'string' && value !== '') return value;
  throw new PipelineError(
    'config_invalid',
    `provider ${config.name} needs settings.${setting} in infra/config/channels.yaml`,
  );
};

/** The value of the variable that a setting names. @throws PipelineError config_invalid naming the variable */
export const secretOf = ({ config, environment }: ProviderContext, setting: string): string => {
  const variable = requiredSetting(config, setting);
  const value = environment[variable];
  if (value !== undefined && value !== '') return value;
  throw new PipelineError(
    'config_invalid',
    `provider ${config.name} needs the environment variable ${variable} (its settings.${setting})`,
  );
};

/** @throws PipelineError config_invalid where the provider has no URL */
export const urlOf = (config: ProviderConfig): URL => {
  if (config.url !== undefined) return new URL(config.url);
  throw new PipelineError('config_invalid', `provider ${config.name} needs a url`);
};
