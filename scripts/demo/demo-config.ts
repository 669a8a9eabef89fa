import path from 'node:path';
import type { BusinessConfig } from '../../schemas/config.js';
import { readConfigFolder } from '../../schemas/config-files.js';
import { projectRoot } from '../../schemas/root.js';

export const DEMO_CONFIG_FOLDER = path.join(projectRoot(), 'scripts', 'demo', 'config');

/** What the YAML says where the simulator's address, which each run learns anew, belongs. */
const PLACEHOLDER = 'http://simulator.invalid';

export interface DemoConfigOptions {
  /** What the sms provider may be asked a second; low enough that halving it is felt. Default: as configured. */
  readonly smsPerSecond?: number;
}

/** The demo's configuration with the address of this run's simulator. */
export const demoConfig = (
  simulatorUrl: string,
  { smsPerSecond }: DemoConfigOptions = {},
): BusinessConfig => {
  const config = readConfigFolder(DEMO_CONFIG_FOLDER);
  const placed = (url: string) => url.replace(PLACEHOLDER, simulatorUrl);
  return {
    ...config,
    tenants: config.tenants.map((tenant) => ({
      ...tenant,
      ...(tenant.webhookUrl !== undefined && { webhookUrl: placed(tenant.webhookUrl) }),
    })),
    channels: config.channels.map((channel) => ({
      ...channel,
      providers: channel.providers.map((provider) => ({
        ...provider,
        ...(provider.url !== undefined && { url: placed(provider.url) }),
        ...(channel.name === 'sms' &&
          smsPerSecond !== undefined && { ratePerSecond: smsPerSecond }),
      })),
    })),
  };
};
