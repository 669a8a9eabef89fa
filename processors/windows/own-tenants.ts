import { type ConfigTable, tenantsOf } from '../configuration.js';
import type { TenantConfig } from '../../schemas/config.js';

const memo = new WeakMap<ReadonlyMap<string, TenantConfig>, ReadonlySet<string>>();

/**
 * The tenants that have windows of their own: the first `most` of the configuration, so that all workers agree
 * without asking each other. The rest, and tenants that are no longer configured, count as `other`.
 */
export const ownTenants = (config: ConfigTable, most: number): ReadonlySet<string> => {
  const tenants = tenantsOf(config);
  const known = memo.get(tenants);
  if (known?.size === Math.min(most, tenants.size)) return known;
  const own = new Set([...tenants.keys()].slice(0, most));
  memo.set(tenants, own);
  return own;
};
