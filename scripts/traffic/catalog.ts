import type { BusinessConfig, TenantConfig } from '../../schemas/config.js';
import { microsOf } from '../../schemas/config.js';
import type { TenantId } from '../../schemas/brand.js';
import type { Lane } from '../../schemas/generated/records.js';
import { tenantId } from '../../schemas/brand.js';

/** An account that traffic is paid from. */
export interface CatalogAccount {
  readonly tenantId: TenantId;
  readonly businessLine: string;
  readonly hasWebhook: boolean;
  /** Which it may use. */
  readonly lanes: readonly Lane[];
  /** Leases pay for its messages. */
  readonly leased: boolean;
  /** Which budget it was never given, so that all its messages are refused for that. */
  readonly lacks: 'cash' | 'units' | null;
}

/** What generated requests may name: all of it is configured. */
export interface Catalog {
  readonly funded: readonly CatalogAccount[];
  readonly unfunded: readonly CatalogAccount[];
  readonly templates: readonly string[];
  /** Configured channels that want the recipient's phone. */
  readonly phoneChannels: readonly string[];
  readonly pushChannels: readonly string[];
  readonly webhookChannels: readonly string[];
}

const lacks = (line: TenantConfig['businessLines'][number]): CatalogAccount['lacks'] =>
  microsOf(line.initialCash) === 0n ? 'cash' : line.initialUnits === 0 ? 'units' : null;

/** The catalog of a configuration, of one tenant only if named. */
export const catalogOf = (config: BusinessConfig, onlyTenant?: string): Catalog => {
  const accounts = config.tenants
    .filter((tenant) => !tenant.ownIngest)
    .filter((tenant) => onlyTenant === undefined || tenant.id === onlyTenant)
    .flatMap((tenant) =>
      tenant.businessLines.map((line) => ({
        tenantId: tenantId(tenant.id),
        businessLine: line.name,
        hasWebhook: tenant.webhookUrl !== undefined,
        lanes: tenant.lanes,
        leased: line.reserve !== 'direct',
        lacks: lacks(line),
      })),
    );
  const named = (address: 'phone' | 'pushTokens' | 'webhook') =>
    config.channels.filter((channel) => channel.address === address).map((channel) => channel.name);
  return {
    funded: accounts.filter((account) => account.lacks === null),
    unfunded: accounts.filter((account) => account.lacks !== null),
    templates: config.templates
      .filter((template) => template.tenants.length === 0)
      .map((template) => template.id),
    phoneChannels: named('phone'),
    pushChannels: named('pushTokens'),
    webhookChannels: named('webhook'),
  };
};
