import { budgetReserve } from '../../processors/budget-reserve/budget-reserve.js';
import type { ReserveFact } from '../../processors/budget-reserve/budget-reserve.js';
import { worstCase } from '../../processors/budget-reserve/worst-case.js';
import type { ConfigTable } from '../../processors/configuration.js';
import { route } from '../../processors/route/route.js';
import type { EpochMs } from '../../schemas/brand.js';
import type {
  BudgetReserved,
  MessageDeduped,
  MessageRefused,
  MessageRouted,
} from '../../schemas/generated/records.js';
import type { Coordinates } from '../../schemas/record.js';
import type { Decoded } from '../read/decoded.js';
import { tariffOf } from '../replay/installation.js';
import type { LevelTimeline } from './levels.js';

/** Nothing of a shadow run is looked up by it. */
const options = { recipientHash: () => '' };
const budget = budgetReserve(options);
const routing = route(options);

/** What the changed configuration makes of a message. */
export type ShadowDecision =
  | { readonly is: 'routed'; readonly value: MessageRouted }
  | { readonly is: 'refused'; readonly value: MessageRefused };

/** A record that a shadow run takes, and when it was decided. */
export interface Taken {
  readonly at: Coordinates;
  readonly key: Buffer | null;
  readonly timestamp: EpochMs;
  readonly now: EpochMs;
  readonly deduped: MessageDeduped;
  /** From `reserved`: what was reserved then is what there is. */
  readonly reserved: BudgetReserved | null;
}

/** null: no record of deduped or reserved. */
export const takenOf = ({ at, key, timestamp, decoded }: Decoded): Taken | null => {
  if (decoded.is === 'MessageDeduped') {
    const deduped = decoded.value;
    return { at, key, timestamp, now: deduped.dedupedAt, deduped, reserved: null };
  }
  if (decoded.is !== 'BudgetReserved') return null;
  const reserved = decoded.value;
  const { deduped, reservedAt: now } = reserved;
  return { at, key, timestamp, now, deduped, reserved };
};

/**
 * The pure decisions of budget-reserve and route at the message's own time, under another configuration and the
 * breaker's levels of then. The ledger is not asked: every account can pay (what it refused then is compared nowhere).
 */
export const shadowDecide = (config: ConfigTable, levels: LevelTimeline) => {
  const tariff = tariffOf(config);
  return ({ at, key, timestamp, now, deduped, reserved }: Taken): ShadowDecision => {
    const place = { at, key, timestamp, headers: {}, size: 0 };
    let paid = reserved;
    if (paid === null) {
      const worst = worstCase(deduped.request, tariff);
      const fact: ReserveFact =
        worst.kind === 'refused'
          ? worst
          : {
              kind: 'asked',
              worst,
              decision: { kind: 'reserved', cashMicros: worst.cashMicros, units: worst.units },
              candidates: worst.candidates,
            };
      const record = { ...place, from: 'deduped', value: deduped } as const;
      const [emitted] =
        budget.decide(record, fact, { now, state: {}, tables: { config } }).emit ?? [];
      if (emitted === undefined) throw new Error('budget-reserve decided nothing');
      if (emitted.to === 'refused') return { is: 'refused', value: emitted.value };
      paid = emitted.value;
    }
    const record = { ...place, from: 'reserved', value: paid } as const;
    const tables = { config, levels: levels.at(now) };
    const [emitted] = routing.decide(record, null, { now, state: {}, tables }).emit ?? [];
    if (emitted === undefined) throw new Error('route decided nothing');
    return emitted.to === 'refused'
      ? { is: 'refused', value: emitted.value }
      : { is: 'routed', value: emitted.value };
  };
};
