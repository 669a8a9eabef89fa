import { laneOf } from '../../processors/lane.js';
import { releaseNoOf } from '../../processors/release/release.js';
import { REENTRY_HEADERS } from '../../processors/reentry/headers.js';
import { PipelineError } from '../../schemas/error.js';
import type { Parked } from '../../schemas/generated/records.js';
import type { Codecs } from '../../schemas/topic-codecs.js';
import type { Returning } from '../../topologies/reenter.js';
import type { RawRecord } from '../../topologies/runtime/raw-record.js';
import type { TopicSpec } from '../../topologies/topic-table.js';

export interface Known {
  readonly table: readonly TopicSpec[];
  readonly codecs: Codecs;
}

/** Why a record cannot go back: it is no message on its way, or still nobody can decode it. */
export type NoWayBack = 'elsewhere' | 'undecodable';

const generationIn = ({ headers }: RawRecord): number =>
  Number(headers[REENTRY_HEADERS.generation]?.toString() ?? '0');

/** A parked message goes back to where it was parked from. null: it holds none. */
export const released = (raw: RawRecord, { deduped, routed }: Parked): Returning | null => {
  const origin = { origin: raw.at, lane: laneOf(raw.at.topic), releaseNo: releaseNoOf(routed) };
  if (routed !== null) return { ...origin, stage: 'send', value: routed };
  return deduped === null ? null : { ...origin, stage: 'budget-reserve', value: deduped };
};

/**
 * A record's original bytes, at its coordinates, as the input of the stage that took it.
 * @param generation of a request, which carries none; null: its header's
 */
export const asOriginal = (
  raw: RawRecord,
  generation: number | null,
  { table, codecs }: Known,
): Returning | NoWayBack => {
  const { topic } = raw.at;
  const record = table.find(({ name }) => name === topic)?.record ?? null;
  const bytes = raw.value;
  const origin = { origin: raw.at, lane: laneOfMessages(topic) };
  if (origin.lane === null) return 'elsewhere';
  const place = { origin: origin.origin, lane: origin.lane };
  try {
    if (bytes === null) return 'undecodable';
    switch (record) {
      case 'MessageRequest':
        return {
          ...place,
          stage: 'dedupe',
          value: codecs.of(record, topic).decode(bytes),
          key: raw.key?.toString() ?? null,
          generation: generation ?? generationIn(raw),
        };
      case 'MessageDeduped':
        return { ...place, stage: 'budget-reserve', value: codecs.of(record, topic).decode(bytes) };
      case 'BudgetReserved':
        return { ...place, stage: 'route', value: codecs.of(record, topic).decode(bytes) };
      case 'MessageRouted':
        return { ...place, stage: 'send', value: codecs.of(record, topic).decode(bytes) };
      case 'Parked': {
        const { deduped, routed } = codecs.of(record, topic).decode(bytes);
        // No release: it comes back under the next generation.
        if (routed !== null) return { ...place, stage: 'send', value: routed };
        return deduped === null
          ? 'undecodable'
          : { ...place, stage: 'budget-reserve', value: deduped };
      }
      case 'AccountLevel':
      case 'BreakerCommand':
      case 'BreakerLevel':
      case 'ChannelWindow':
      case 'ConfigEntry':
      case 'DeliveryFeedback':
      case 'MessageRefused':
      case 'ProviderReceipt':
      case null:
        return 'elsewhere';
    }
  } catch (thrown) {
    if (thrown instanceof PipelineError && thrown.verdict === 'dead-letter') return 'undecodable';
    throw thrown;
  }
};

const laneOfMessages = (topic: string): Returning['lane'] | null => {
  try {
    return laneOf(topic);
  } catch {
    return null;
  }
};
