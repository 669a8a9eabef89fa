import { microsOf } from '../../schemas/config.js';
import type { TenantConfig } from '../../schemas/config.js';
import { PipelineError } from '../../schemas/error.js';
import type { Grant, PostgresTransfers } from './transfers.js';

/** Ids that are the configuration's: nobody else's transfer may begin so. */
export const INITIAL_PREFIX = 'initial/';

const initialGrants = (tenants: readonly TenantConfig[]) =>
  tenants.flatMap(({ id, businessLines }) =>
    businessLines.map((line) => ({
      transferId: `${INITIAL_PREFIX}${id}/${line.name}`,
      tenantId: id,
      businessLine: line.name,
      currency: line.currency,
      cashMicros: microsOf(line.initialCash),
      units: BigInt(line.initialUnits),
      note: 'initial budget of the configuration',
    })),
  );

const refused = ({ tenantId, businessLine, transferId }: Grant, why: string): never => {
  throw new PipelineError(
    'row_refused',
    `account ${tenantId}/${businessLine} does not get its initial budget (transfer ${transferId}): ${why}. Nothing was booked for it`,
  );
};

/**
 * Makes each configured business line's account with its initial budget: once, when the line is first applied.
 * A later change of the initial amounts changes nothing; more is granted by `millrace budget grant`.
 * @returns how many accounts were opened or granted now
 * @throws PipelineError row_refused, naming account and reason (another currency, an overflow), or postgres_*
 */
export const grantInitialBudgets = async (
  transfers: Pick<PostgresTransfers, 'openAccount' | 'grant' | 'booked'>,
  tenants: readonly TenantConfig[],
): Promise<number> => {
  const grants = initialGrants(tenants);
  const booked = await transfers.booked(grants.map(({ transferId }) => transferId));
  let granted = 0;
  for (const grant of grants) {
    if (booked.has(grant.transferId)) continue;
    const account = await transfers.openAccount(grant, grant.currency);
    if (account === 'currency') refused(grant, `it is not kept in ${grant.currency}`);
    // A line may begin with nothing.
    if (grant.cashMicros === 0n && grant.units === 0n) {
      if (account === 'opened') granted += 1;
      continue;
    }
    const { kind } = await transfers.grant(grant);
    if (kind === 'booked') granted += 1;
    else if (kind !== 'repeated') refused(grant, kind);
  }
  return granted;
};
