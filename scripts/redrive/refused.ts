import type { Lane, MessageRefused, RefusalReason } from '../../schemas/generated/records.js';
import type { Codecs } from '../../schemas/topic-codecs.js';
import type { Recovery } from '../../sinks/postgres/recovery.js';
import type { RawRecord } from '../../topologies/runtime/raw-record.js';
import type { TopicSpec } from '../../topologies/topic-table.js';
import type { Decoded } from '../read/decoded.js';
import { Tally } from '../replay/figures.js';
import type { Select } from '../replay/selection.js';
import type { Candidate, Care } from './candidate.js';
import { careful } from './candidate.js';
import type { Originals } from './fetch.js';
import { placeOf } from './fetch.js';
import { asOriginal } from './original.js';

/**
 * May a refusal of this reason be redriven? Not where the message reached its recipient by another record, or where
 * someone decided that it must not.
 */
const REDRIVEN = {
  duplicate: false,
  idempotency_conflict: false,
  cancelled: false,
  suppressed: false,
  invalid: true,
  too_large: true,
  unknown_tenant: true,
  tenant_mismatch: true,
  unknown_template: true,
  no_address: true,
  no_channel: true,
  lane_not_allowed: true,
  expired: true,
  budget_cash: true,
  budget_pv: true,
  quota: true,
  account_closed: true,
  currency: true,
  policy: true,
  frequency_cap: true,
  breaker: true,
  internal: true,
} as const satisfies Record<RefusalReason, boolean>;

export interface RefusedFilter {
  readonly why: string | null;
  readonly lane: Lane | null;
}

export interface Sources {
  readonly originals: Originals;
  readonly table: readonly TopicSpec[];
  readonly codecs: Codecs;
  readonly recovery: Recovery;
}

const wanted = (
  refused: MessageRefused,
  { why, lane }: RefusedFilter,
  tenant: string | null,
): boolean =>
  (why === null || refused.reason === why) &&
  (lane === null || refused.lane === lane) &&
  (tenant === null || refused.tenantId === tenant);

/** Redrives refusals: each record that was refused is read again where it lies, and goes back as it was written. */
export const refusedSelect =
  (filter: RefusedFilter, care: Care, { originals, recovery, ...known }: Sources): Select =>
  async (batch) => {
    const stay = new Tally();
    const chosen: { readonly read: Decoded; readonly refused: MessageRefused }[] = [];
    for (const read of batch) {
      const { decoded } = read;
      if (decoded.is !== 'MessageRefused') stay.add('unreadable');
      else if (!wanted(decoded.value, filter, care.tenant)) stay.add('filtered');
      else if (!REDRIVEN[decoded.value.reason]) stay.add('final');
      else chosen.push({ read, refused: decoded.value });
    }
    const there = await originals.at(chosen.map(({ refused }) => refused.source));
    await known.codecs.prepare([...there.values()].map(({ value }) => value));
    const candidates: Candidate[] = [];
    for (const { read, refused } of chosen) {
      const raw: RawRecord | undefined = there.get(placeOf(refused.source));
      if (raw === undefined) {
        stay.add('gone');
        continue;
      }
      const back = asOriginal(raw, refused.generation, known);
      if (back === 'elsewhere' || back === 'undecodable') stay.add(back);
      else candidates.push({ read, back });
    }
    return careful(candidates, stay, care, recovery, Date.now());
  };
