import { microsOf } from '../../schemas/config.js';
import type { TenantConfig } from '../../schemas/config.js';
import type { postgresLedger } from './ledger.js';

const transferId = (tenant: string, line: string): string => `initial/${tenant}/${line}`;

/**
 * Makes each configured business line's account with its initial budget: once, when the line is first applied.
 * A later change of the initial amounts changes nothing; more is granted by `millrace budget grant`.
 * @returns how many accounts were granted now
 */
export const grantInitialBudgets = async (
  ledger: Pick<ReturnType<typeof postgresLedger>, 'grant' | 'booked'>,
  tenants: readonly TenantConfig[],
): Promise<number> => {
  const lines = tenants.flatMap(({ id, businessLines }) =>
    businessLines.map((line) => ({ tenantId: id, line })),
  );
  const booked = await ledger.booked(
    lines.map(({ tenantId, line }) => transferId(tenantId, line.name)),
  );
  let granted = 0;
  for (const { tenantId, line } of lines) {
    const id = transferId(tenantId, line.name);
    if (booked.has(id)) continue;
    const made = await ledger.grant({
      transferId: id,
      tenantId,
      businessLine: line.name,
      currency: line.currency,
      cashMicros: microsOf(line.initialCash),
      units: BigInt(line.initialUnits),
      note: 'initial budget of the configuration',
    });
    if (made) granted += 1;
  }
  return granted;
};
