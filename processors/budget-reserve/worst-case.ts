import type { Micros } from '../../schemas/brand.js';
import { microsOf } from '../../schemas/config.js';
import type {
  ChannelConfig,
  PolicyConfig,
  ProviderConfig,
  TemplateConfig,
  TenantConfig,
} from '../../schemas/config.js';
import type { MessageRequest, Recipient } from '../../schemas/generated/records.js';
import type { Refusal } from '../refusal.js';
import type { CandidateCost } from './reservations.js';

/** The configuration that a cost is computed from. */
export interface Tariff {
  readonly tenants: ReadonlyMap<string, TenantConfig>;
  readonly templates: ReadonlyMap<string, TemplateConfig>;
  readonly channels: ReadonlyMap<string, ChannelConfig>;
  readonly policy: PolicyConfig;
}

/** The most a message can cost on any channel that it may take. */
export interface WorstCase {
  readonly kind: 'priced';
  /** In order of preference. */
  readonly candidates: readonly string[];
  /** Of each candidate, in the same order. */
  readonly costs: readonly CandidateCost[];
  readonly cashMicros: Micros;
  readonly units: number;
  /** The account's. */
  readonly currency: string;
}

export type Pricing = WorstCase | { readonly kind: 'refused'; readonly refusal: Refusal };

/** Why a channel is no candidate. */
type Obstacle = 'not_configured' | 'no_webhook' | 'no_address' | 'other_currency' | 'over_cap';

const prices = new WeakMap<ProviderConfig, Micros>();

/** Price of one unit in micros; parsed once per configured provider. */
export const priceOf = (provider: ProviderConfig): Micros => {
  const known = prices.get(provider);
  if (known !== undefined) return known;
  const price = microsOf(provider.price);
  prices.set(provider, price);
  return price;
};

/**
 * Candidates are the request's channels (none listed: policy's default) that are configured, that the tenant and
 * the recipient can use, and that have a provider within the request's caps. The worst case is the dearest such
 * provider of them all: whichever route is chosen later, it is paid for. A cap is never exceeded, so a channel
 * that costs more is dropped; where that leaves none the answer is no_channel.
 */
export const worstCase = (request: MessageRequest, tariff: Tariff): Pricing => {
  const { tenants, templates, channels, policy } = tariff;
  const tenant = tenants.get(request.tenantId);
  if (tenant === undefined)
    return refuse('unknown_tenant', 'no such tenant is configured', 'tenantId');
  const line = tenant.businessLines.find(({ name }) => name === request.businessLine);
  if (line === undefined)
    return refuse('invalid', 'no such business line is configured', 'businessLine');
  if (request.currency !== null && request.currency !== line.currency)
    return refuse('currency', `the account is kept in ${line.currency}`, 'currency');
  const template = templates.get(request.templateId);
  if (template === undefined)
    return refuse('unknown_template', 'no such template is configured', 'templateId');

  const { units } = template;
  const cap = request.units !== null && request.units < units ? -1n : request.maxCostMicros;
  const allowed = request.channels.length > 0 ? request.channels : policy.defaultChannels;
  const costs: CandidateCost[] = [];
  const obstacles = new Set<Obstacle>();
  let cashMicros = 0n;
  for (const name of allowed) {
    const cost = costOn(channels.get(name), {
      request,
      tenant,
      units,
      cap,
      currency: line.currency,
    });
    if (typeof cost === 'string') {
      obstacles.add(cost);
      continue;
    }
    if (!costs.some(({ channel }) => channel === name))
      costs.push({ channel: name, cashMicros: cost });
    if (cost > cashMicros) cashMicros = cost;
  }
  if (costs.length === 0) return nothingLeft(obstacles);
  const candidates = costs.map(({ channel }) => channel);
  return { kind: 'priced', candidates, costs, cashMicros, units, currency: line.currency };
};

interface Asked {
  readonly request: MessageRequest;
  readonly tenant: TenantConfig;
  readonly units: number;
  /** Most that may be spent; null: no cap; negative: the units alone are over their cap. */
  readonly cap: Micros | null;
  readonly currency: string;
}

/** The dearest provider within the caps, in micros; or what stands in the way. */
const costOn = (
  channel: ChannelConfig | undefined,
  { request, tenant, units, cap, currency }: Asked,
): Micros | Obstacle => {
  if (channel === undefined) return 'not_configured';
  if (channel.address === 'webhook' && tenant.webhookUrl === undefined) return 'no_webhook';
  if (!hasAddress(channel, request.recipient)) return 'no_address';
  let dearest: Micros | null = null;
  let obstacle: Obstacle = 'other_currency';
  for (const provider of channel.providers) {
    if (provider.currency !== currency) continue;
    const cost = priceOf(provider) * BigInt(units);
    if (cap !== null && cost > cap) obstacle = 'over_cap';
    else if (dearest === null || cost > dearest) dearest = cost;
  }
  return dearest ?? obstacle;
};

const hasAddress = ({ address }: ChannelConfig, recipient: Recipient): boolean => {
  switch (address) {
    case 'webhook':
      return true;
    case 'pushTokens':
      return recipient.pushTokens.length > 0;
    case 'phone':
    case 'email':
    case 'openId':
    case 'userId':
      return recipient[address] !== null && recipient[address] !== '';
  }
};

const EXPLAINED = {
  not_configured: 'is not configured',
  no_webhook: "needs the tenant's webhook URL",
  no_address: 'needs an address that the recipient lacks',
  other_currency: "has no provider in the account's currency",
  over_cap: "costs more than the request's caps allow",
} as const satisfies Record<Obstacle, string>;

const nothingLeft = (obstacles: ReadonlySet<Obstacle>): Pricing => {
  if (obstacles.size === 1 && obstacles.has('no_address'))
    return refuse('no_address', 'no allowed channel has an address of the recipient', 'recipient');
  const why = [...obstacles].map((obstacle) => EXPLAINED[obstacle]);
  return refuse('no_channel', `each allowed channel ${why.join(', or ')}`, 'channels');
};

const refuse = (reason: Refusal['reason'], detail: string, field: string): Pricing => ({
  kind: 'refused',
  refusal: { reason, field, detail },
});
