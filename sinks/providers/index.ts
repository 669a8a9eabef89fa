import type { ChannelConfig, ProviderConfig } from '../../schemas/config.js';
import { aliyunSms } from './aliyun-sms/adapter.js';
import { inProcess } from './in-process.js';
import type { Adapter, ReceiptFormat } from './provider.js';
import { webhook } from './webhook/adapter.js';

/** Every kind of provider. A new one: a folder, and a line here and in schemas/config.ts. */
export const ADAPTERS = {
  'aliyun-sms': aliyunSms,
  webhook,
  'in-process': inProcess,
} as const satisfies Record<ProviderConfig['adapter'], Adapter>;

/** Environment variables that the configured providers need and that are empty, each with its provider's name. */
export const missingSecrets = (
  channels: readonly ChannelConfig[],
  environment: Readonly<Record<string, string | undefined>>,
): readonly { readonly provider: string; readonly variable: string }[] =>
  channels
    .flatMap(({ providers }) => providers)
    .flatMap((config) =>
      ADAPTERS[config.adapter]
        .secrets(config)
        .filter((variable) => (environment[variable] ?? '') === '')
        .map((variable) => ({ provider: config.name, variable })),
    );

/** The configured providers that push receipts, by name; fits the callback endpoint. */
export const receiptFormats = (
  channels: readonly ChannelConfig[],
): ReadonlyMap<string, { readonly channel: string; readonly format: ReceiptFormat }> =>
  new Map(
    channels.flatMap((channel) =>
      channel.providers.flatMap((config) => {
        const adapter: Adapter = ADAPTERS[config.adapter];
        return adapter.receipts === undefined
          ? []
          : [[config.name, { channel: channel.name, format: adapter.receipts }] as const];
      }),
    ),
  );
