import type { Codecs } from '../../schemas/topic-codecs.js';
import type { RefusalReason } from '../../schemas/generated/records.js';
import { PipelineError } from '../../schemas/error.js';
import { partitionId } from '../../topologies/runtime/raw-record.js';
import { ConsumerClient } from '../../topologies/runtime/rdkafka-client.js';
import type { ClientSettings } from '../../topologies/runtime/rdkafka-client.js';
import type { Returning } from '../../topologies/reenter.js';
import type { TopicSpec } from '../../topologies/topic-table.js';
import { topicSchemas } from '../../topologies/topic-table.js';
import { readDecoded } from '../read/decoded.js';
import type { Span } from '../rebuild/spans.js';
import { messageOf } from './foresight.js';

const CALL_MS = 10_000;
const STABLE_WITHIN_MS = 60_000;
const PAUSE_MS = 200;
const LOAD_MS = 600_000;

/** By another record of the same id: they say nothing of the record that was accepted. */
const OF_ANOTHER: ReadonlySet<RefusalReason> = new Set(['duplicate', 'idempotency_conflict']);

/**
 * What ended as refused. The re-entry task does not know: a duplicate under a messageId of its own would be delivered,
 * and a refusal would be followed by a second end of the same delivery. Such messages are redrive's.
 */
export class RefusedRecords {
  private readonly places = new Map<string, Set<number>>();
  private readonly messages = new Set<string>();
  private readonly ingest: ReadonlySet<string>;

  private constructor(ingest: ReadonlySet<string>) {
    this.ingest = ingest;
  }

  /**
   * A request by its own place, as its producer may have sent it again after a refusal; what is past dedupe by its
   * message and generation too, as its refusal names the request's place.
   */
  has(back: Returning): boolean {
    if (this.places.get(partitionId(back.origin))?.has(back.origin.offset) === true) return true;
    if (this.ingest.has(back.origin.topic)) return false;
    const { request, generation } = messageOf(back);
    return this.messages.has(idOf(request.tenantId, request.messageId, generation));
  }

  /** From `since` on (milliseconds since the epoch; null: all there is), to the end of now. */
  static async load(
    settings: ClientSettings,
    codecs: Codecs,
    table: readonly TopicSpec[],
    since: number | null,
  ): Promise<RefusedRecords> {
    const found = new RefusedRecords(
      new Set(table.flatMap(({ name, record }) => (record === 'MessageRequest' ? [name] : []))),
    );
    const refused = table.filter(({ record }) => record === 'MessageRefused');
    await codecs.open(topicSchemas(refused));
    for await (const batch of readDecoded({
      settings,
      codecs,
      topics: refused,
      from: since === null ? 'beginning' : { since },
      to: 'high',
      deadlineMs: LOAD_MS,
    }))
      for (const { decoded } of batch) {
        if (decoded.is !== 'MessageRefused') continue;
        const { source, reason, tenantId, messageId, generation } = decoded.value;
        const of = found.places.get(partitionId(source)) ?? new Set();
        found.places.set(partitionId(source), of.add(source.offset));
        if (!OF_ANOTHER.has(reason) && tenantId !== null && messageId !== null)
          found.messages.add(idOf(tenantId, messageId, generation));
      }
    return found;
  }
}

const idOf = (tenantId: string, messageId: string, generation: number): string =>
  `${tenantId}/${messageId}/${generation.toString()}`;

/**
 * Waits until no transaction is open below the end of the range: what its records became is committed then, refusals
 * too. @throws PipelineError kafka_unavailable where one stays open for a minute
 */
export const untilStable = async (
  settings: ClientSettings,
  range: readonly Span[],
): Promise<void> => {
  const client = new ConsumerClient({
    ...settings,
    'group.id': 'millrace-read-stable',
    'isolation.level': 'read_committed',
  });
  const deadline = Date.now() + STABLE_WITHIN_MS;
  await client.connect(CALL_MS);
  try {
    for (const span of range)
      while ((await client.watermarks(span, CALL_MS)).high < span.to) {
        if (Date.now() > deadline)
          throw new PipelineError(
            'kafka_unavailable',
            `${partitionId(span)}: a transaction stays open: millrace transactions`,
          );
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
  } finally {
    await client.disconnect(CALL_MS);
  }
};
