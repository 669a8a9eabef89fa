import {
  QUERYING_ADAPTERS,
  type BusinessConfig,
  type ConfigKind,
  type QuotaConfig,
  type RechargeRule,
  microsOf,
} from './config.js';
import { asError } from './error.js';
import { reviewCondition, ruleCondition } from './recharge-conditions.js';

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

const compiled = (
  compile: (text: string) => unknown,
  when: string,
  path: string,
): readonly Contradiction[] => {
  try {
    compile(when);
    return [];
  } catch (thrown) {
    return [{ kind: 'recharge', path, message: asError(thrown).message }];
  }
};

const rechargeConditions: Check = ({ recharge: { rules, review } }) => [
  ...repeated(
    'recharge',
    'rule',
    rules.map((rule) => rule.name),
    (index) => `rules[${index}].name`,
  ),
  ...rules.flatMap(({ when }, index) => compiled(ruleCondition, when, `rules[${index}].when`)),
  ...review.rules.flatMap(({ when }, index) =>
    compiled(reviewCondition, when, `review.rules[${index}].when`),
  ),
];

/** Whom a rule recharges, in what currency, and whether it ever can. */
const rechargedAccounts: Check = ({ tenants, recharge }) =>
  recharge.rules.flatMap((rule, index) => {
    const found: Contradiction[] = [];
    const wrong = (field: string, message: string) =>
      found.push({ kind: 'recharge', path: `rules[${index}].${field}`, message });
    const lines = tenants.find(({ id }) => id === rule.tenant)?.businessLines;
    const named = lines?.filter(
      (line) => rule.businessLine === undefined || line.name === rule.businessLine,
    );
    if (named === undefined) wrong('tenant', `tenants.yaml has no tenant ${rule.tenant}`);
    else if (named.length === 0)
      wrong('businessLine', `${rule.tenant} has no business line ${rule.businessLine ?? ''}`);
    const cash = microsOf(rule.cash);
    if (cash === 0n && rule.units === 0) wrong('cash', 'give cash, units, or both above 0');
    if (cash > 0n && rule.currency === undefined) wrong('currency', 'cash needs its currency');
    const other = named?.find(({ currency }) => currency !== rule.currency);
    if (cash > 0n && rule.currency !== undefined && other !== undefined)
      wrong('currency', `${rule.tenant}/${other.name} is kept in ${other.currency}`);
    if (beyondCap(rule))
      wrong(
        'dailyCap',
        'one recharge is more than the cap of a day: the rule could never recharge',
      );
    return found;
  });

const beyondCap = ({ cash, units, dailyCap }: RechargeRule): boolean =>
  microsOf(cash) > microsOf(dailyCap.cash) || units > dailyCap.units;

const CHECKS: readonly Check[] = [
  uniqueNames,
  knownChannels,
  knownTenants,
  soundProviders,
  soundQuotas,
  rechargeConditions,
  rechargedAccounts,
];

/** What zod cannot see: names that are used and not defined, defined twice, or contradict each other. */
export const crossCheck: Check = (config) => CHECKS.flatMap((check) => check(config));
