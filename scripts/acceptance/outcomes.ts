import type { DeliveryFeedback, MessageRefused, Parked } from '../../schemas/generated/records.js';
import { LANES } from '../../schemas/generated/records.js';
import { readRange } from '../../topologies/runtime/range-reader.js';
import type { RawRecord } from '../../topologies/runtime/raw-record.js';
import type { Installation } from '../installation/installation.js';
import { until } from '../installation/until.js';

/** A record of a results topic as it lies there, and what it says. */
export interface Seen<V> {
  readonly raw: RawRecord;
  readonly value: V;
}

/**
 * What became of every message, as an outsider reads it: follows feedback, refused, parked and dead-letters,
 * read_committed, from their beginning.
 */
export class Outcomes {
  readonly feedback: Seen<DeliveryFeedback>[] = [];
  readonly refused: Seen<MessageRefused>[] = [];
  readonly parked: Seen<Parked>[] = [];
  readonly deadLetters: RawRecord[] = [];
  private readonly stop = new AbortController();
  private readonly reading: Promise<void>;
  private failure: Error | null = null;

  private constructor(installation: Installation) {
    this.reading = this.follow(installation).catch((error: unknown) => {
      this.failure = error instanceof Error ? error : new Error(String(error));
    });
  }

  static async follow(installation: Installation): Promise<Outcomes> {
    const { codecs, names } = installation;
    await codecs.open(
      LANES.map((lane) => ({ topic: names.parked(lane), record: 'Parked' as const })),
    );
    return new Outcomes(installation);
  }

  /** Feedback that ends a message, by its id. */
  ends(messageId: string): readonly DeliveryFeedback[] {
    return this.feedback.flatMap(({ value }) =>
      value.messageId === messageId && value.terminal ? [value] : [],
    );
  }

  /** Refusals of a message, by its id. */
  refusals(messageId: string): readonly MessageRefused[] {
    return this.refused.flatMap(({ value }) => (value.messageId === messageId ? [value] : []));
  }

  /** How many records have come to an end, or to where a person or their time must come. */
  get count(): number {
    return (
      this.feedback.filter(({ value }) => value.terminal || value.state === 'held').length +
      this.refused.length +
      this.parked.length +
      this.deadLetters.length
    );
  }

  /** @throws where the deadline passes, or reading failed */
  until(what: string, condition: () => boolean, deadlineMs = 60_000): Promise<void> {
    return until(what, deadlineMs, () => {
      if (this.failure !== null) throw this.failure;
      return condition();
    });
  }

  /** Reads to the end of now, and stops. */
  async close(): Promise<void> {
    this.stop.abort();
    await this.reading;
    if (this.failure !== null) throw this.failure;
  }

  private async follow({ client, names, codecs }: Installation): Promise<void> {
    const parked = new Set<string>(LANES.map((lane) => names.parked(lane)));
    const feedback = codecs.of('DeliveryFeedback', names.feedback);
    const refused = codecs.of('MessageRefused', names.refused);
    const topics = [names.feedback, names.refused, names.deadLetters, ...parked];
    for await (const batch of readRange({ settings: client, topics, to: this.stop.signal })) {
      await codecs.prepare(
        batch.flatMap(({ at, value }) => (at.topic === names.deadLetters ? [] : [value])),
      );
      for (const raw of batch) {
        const { topic } = raw.at;
        const value = raw.value ?? Buffer.alloc(0);
        if (topic === names.deadLetters) this.deadLetters.push(raw);
        else if (topic === names.feedback)
          this.feedback.push({ raw, value: feedback.decode(value) });
        else if (topic === names.refused) this.refused.push({ raw, value: refused.decode(value) });
        else this.parked.push({ raw, value: codecs.of('Parked', topic).decode(value) });
      }
    }
  }
}

/** Every record of some topics by now. */
export const everything = async (
  { client }: Installation,
  topics: readonly string[],
  isolation: 'read_committed' | 'read_uncommitted' = 'read_committed',
): Promise<readonly RawRecord[]> => {
  const records: RawRecord[] = [];
  for await (const batch of readRange({ settings: client, topics, isolation }))
    records.push(...batch);
  return records;
};
