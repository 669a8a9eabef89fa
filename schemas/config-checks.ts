import {
  QUERYING_ADAPTERS,
  type BusinessConfig,
  type ConfigKind,
  type QuotaConfig,
} from './config.js';

/** What one file says that another contradicts. */
interface Contradiction {
  readonly kind: ConfigKind;
  readonly path: string;
  readonly message: string;
}

type Check = (config: BusinessConfig) => readonly Contradiction[];

const repeated = (
  kind: ConfigKind,
  what: string,
  names: readonly string[],
  pathOf: (index: number) => string,
): readonly Contradiction[] =>
  names.flatMap((name, index) =>
    names.indexOf(name) < index
      ? [{ kind, path: pathOf(index), message: `${what} ${name} is defined twice` }]
      : [],
  );

const uniqueNames: Check = ({ tenants, templates, channels }) => [
  ...repeated(
    'tenants',
    'tenant',
    tenants.map(({ id }) => id),
    (index) => `[${index}].id`,
  ),
  ...tenants.flatMap(({ businessLines }, tenant) =>
    repeated(
      'tenants',
      'business line',
      businessLines.map(({ name }) => name),
      (index) => `[${tenant}].businessLines[${index}].name`,
    ),
  ),
  ...repeated(
    'templates',
    'template',
    templates.map(({ id }) => id),
    (index) => `[${index}].id`,
  ),
  ...repeated(
    'channels',
    'channel',
    channels.map(({ name }) => name),
    (index) => `[${index}].name`,
  ),
  ...channels.flatMap(({ providers }, channel) =>
    repeated(
      'channels',
      'provider',
      providers.map(({ name }) => name),
      (index) => `[${channel}].providers[${index}].name`,
    ),
  ),
];

const knownChannels: Check = ({ channels, policy }) => {
  const known = new Set(channels.map(({ name }) => name));
  const unknown = (list: readonly string[], path: string): readonly Contradiction[] =>
    list.flatMap((channel, index) =>
      known.has(channel)
        ? []
        : [
            {
              kind: 'policy',
              path: `${path}[${index}]`,
              message: `channels.yaml has no channel ${channel}`,
            },
          ],
    );
  return [
    ...unknown(policy.defaultChannels, 'defaultChannels'),
    ...policy.rules.flatMap((rule, index) => unknown(rule.channels, `rules[${index}].channels`)),
  ];
};

const knownTenants: Check = ({ tenants, templates }) => {
  const known = new Set(tenants.map(({ id }) => id));
  return templates.flatMap((template, index) =>
    template.tenants.flatMap((tenant, place) =>
      known.has(tenant)
        ? []
        : [
            {
              kind: 'templates' as const,
              path: `[${index}].tenants[${place}]`,
              message: `tenants.yaml has no tenant ${tenant}`,
            },
          ],
    ),
  );
};

/** Routes are written channel/provider, and a second attempt under one key is made only where the provider dedupes. */
const soundProviders: Check = ({ channels }) =>
  channels.flatMap(({ address, providers }, channel) =>
    providers.flatMap((provider, index) => {
      const path = `[${channel}].providers[${index}]`;
      const found: Contradiction[] = [];
      if (provider.unknownOutcome === 'retry' && !provider.dedupesOnKey)
        found.push({
          kind: 'channels',
          path: `${path}.unknownOutcome`,
          message: 'retry needs dedupesOnKey: else a recipient may get the message twice',
        });
      if (provider.unknownOutcome === 'query' && !QUERYING_ADAPTERS.includes(provider.adapter))
        found.push({
          kind: 'channels',
          path: `${path}.unknownOutcome`,
          message: `the ${provider.adapter} adapter cannot ask its provider: use receipt, retry or hold`,
        });
      if (provider.adapter === 'aliyun-sms' && provider.url === undefined)
        found.push({ kind: 'channels', path: `${path}.url`, message: 'aliyun-sms needs a url' });
      if ((provider.adapter === 'webhook') !== (address === 'webhook'))
        found.push({
          kind: 'channels',
          path: `${path}.adapter`,
          message: "the webhook adapter and the address `webhook` (the tenant's URL) go together",
        });
      return found;
    }),
  );

/** A quota names a channel, once a period; cash of several lines is added up, so they must have one currency. */
const soundQuotas: Check = ({ tenants, channels }) => {
  const known = new Set(channels.map(({ name }) => name));
  const judged = (quotas: readonly QuotaConfig[], path: string): readonly Contradiction[] => [
    ...quotas.flatMap(({ channel }, index) =>
      known.has(channel)
        ? []
        : [
            {
              kind: 'tenants' as const,
              path: `${path}[${index}].channel`,
              message: `channels.yaml has no channel ${channel}`,
            },
          ],
    ),
    ...repeated(
      'tenants',
      'a quota of',
      quotas.map(({ channel, period }) => `${channel} by the ${period}`),
      (index) => `${path}[${index}]`,
    ),
  ];
  return tenants.flatMap(({ quotas = [], businessLines }, tenant) => [
    ...judged(quotas, `[${tenant}].quotas`),
    ...quotas.flatMap(({ cash }, index) =>
      cash === undefined || new Set(businessLines.map(({ currency }) => currency)).size === 1
        ? []
        : [
            {
              kind: 'tenants' as const,
              path: `[${tenant}].quotas[${index}].cash`,
              message: 'its business lines have several currencies: limit the cash of each line',
            },
          ],
    ),
    ...businessLines.flatMap(({ quotas: own = [] }, line) =>
      judged(own, `[${tenant}].businessLines[${line}].quotas`),
    ),
  ]);
};

const CHECKS: readonly Check[] = [
  uniqueNames,
  knownChannels,
  knownTenants,
  soundProviders,
  soundQuotas,
];

/** What zod cannot see: names that are used and not defined, defined twice, or contradict each other. */
export const crossCheck: Check = (config) => CHECKS.flatMap((check) => check(config));
