import type { PostgresRecharges, Recharge } from './recharges.js';
import type { PostgresTransfers } from './transfers.js';

/**
 * Books one that is approved, and writes down that it was: its id is the transfer's, so that whoever comes again after a
 * crash in between finds it booked.
 * @returns null: it is booked; else why the ledger refuses it, for good
 * @throws PipelineError postgres_*
 */
export const bookRecharge = async (
  { rechargeId, tenantId, businessLine, currency, cashMicros, units, rule }: Recharge,
  decided: { readonly by: string; readonly reason: string },
  transfers: Pick<PostgresTransfers, 'grant'>,
  recharges: Pick<PostgresRecharges, 'end'>,
): Promise<string | null> => {
  const { kind } = await transfers.grant({
    transferId: rechargeId,
    tenantId,
    businessLine,
    currency,
    cashMicros,
    units,
    actor: decided.by,
    note: `recharge rule ${rule}: ${decided.reason}`,
  });
  const refusal = kind === 'booked' || kind === 'repeated' ? null : kind;
  await recharges.end(rechargeId, refusal);
  return refusal;
};
