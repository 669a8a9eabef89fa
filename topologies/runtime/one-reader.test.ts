import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isRetry, PipelineError } from '../../schemas/error.js';
import type { KafkaRecord, PartitionSlice, Topic } from '../../schemas/record.js';
import { textCodec } from '../testing/text-topic.js';
import { type Effect, oneReader } from './one-reader.js';
import { type PartitionId, type TopicPartition, partitionId } from './raw-record.js';

const words: Topic<string> = { name: 'words', codec: textCodec };
const others: Topic<string> = { name: 'others', codec: textCodec };
const at = { topic: words.name, partition: 0 };
const elsewhere = { topic: others.name, partition: 0 };
const begun = (...partitions: readonly TopicPartition[]) =>
  partitions.map((one) => ({ ...one, beginning: 0 }));

/** A partition's records are numbered from 0; each one's value is its number. */
const slice = (
  start: number,
  next: number,
  partition: TopicPartition = at,
): PartitionSlice<string> => ({
  ...partition,
  start,
  next,
  records: Array.from({ length: next - start }, (_, index): KafkaRecord<string> => {
    const offset = start + index;
    return {
      at: { ...partition, offset },
      key: null,
      value: offset.toString(),
      timestamp: 0,
      headers: {},
      size: 1,
    };
  }),
});

type Mood =
  | 'well'
  /** Refuses before it stores. */
  | 'away'
  /** Stores, and its answer is lost. */
  | 'unheard'
  /** Another owner stores what it is given first. */
  | 'overtaken';

/** Keeps offsets with its effect, conditionally, as the Postgres sinks do. */
class Store {
  readonly values: string[] = [];
  readonly next = new Map<PartitionId, number>();
  readonly caughtUp: string[] = [];
  mood: Mood = 'well';

  effect(...topics: readonly Topic<string>[]): Effect<string> {
    return {
      topics,
      load: (partitions) =>
        Promise.resolve(
          partitions.map((one) => {
            const next = this.next.get(partitionId(one)) ?? one.beginning;
            this.next.set(partitionId(one), next);
            return next;
          }),
        ),
      write: (slices) => {
        if (this.mood === 'away')
          return Promise.reject(new PipelineError('postgres_unavailable', 'gone'));
        if (this.mood === 'overtaken') this.store(slices);
        const lost = this.store(slices);
        return this.mood === 'unheard'
          ? Promise.reject(new PipelineError('postgres_unavailable', 'gone before it answered'))
          : Promise.resolve(lost);
      },
      caughtUp: (partitions) => {
        this.caughtUp.push(...partitions.map(partitionId));
        return Promise.resolve();
      },
    };
  }

  private store(slices: readonly PartitionSlice<string>[]): readonly TopicPartition[] {
    const lost = slices.filter((one) => this.next.get(partitionId(one)) !== one.start);
    if (lost.length > 0) return lost;
    for (const one of slices) {
      this.next.set(partitionId(one), one.next);
      this.values.push(...one.records.map(({ value }) => value));
    }
    return [];
  }
}

const two = () => {
  const first = new Store();
  const second = new Store();
  const sink = oneReader('both', [first.effect(words), second.effect(words)]);
  return { first, second, sink };
};

/** As SinkTask does: from where the sink says, again where it is refused, from there anew where it was overtaken. */
const feed = async (
  sink: ReturnType<typeof oneReader<string>>,
  until: number,
  sizes: () => number,
  before: () => void,
): Promise<void> => {
  const load = async (): Promise<number> => (await sink.load(begun(at)))[0] ?? Number.NaN;
  let position = await load();
  while (position < until) {
    const next = Math.min(until, position + sizes());
    for (;;) {
      before();
      try {
        const lost = await sink.write([slice(position, next)]);
        position = lost.length > 0 ? await load() : next;
        break;
      } catch (error) {
        if (!isRetry(error)) throw error;
      }
    }
  }
};

describe('one reader of several effects', () => {
  it('begins where the last of them is, and gives the others only what they have not had', async () => {
    const { first, second, sink } = two();
    first.next.set(partitionId(at), 5);
    second.next.set(partitionId(at), 2);
    expect(await sink.load(begun(at))).toEqual([2]);
    expect(await sink.write([slice(2, 4)])).toEqual([]);
    expect(await sink.write([slice(4, 7)])).toEqual([]);
    expect(first.values).toEqual(['5', '6']);
    expect(second.values).toEqual(['2', '3', '4', '5', '6']);
  });

  it('moves an offset over records that nobody could read', async () => {
    const { first, second, sink } = two();
    await sink.load(begun(at));
    await sink.write([{ ...slice(0, 3), records: [] }]);
    expect([first, second].map(({ next }) => next.get(partitionId(at)))).toEqual([3, 3]);
  });

  it('where one is away, the other is not given the same again', async () => {
    const { first, second, sink } = two();
    await sink.load(begun(at));
    second.mood = 'away';
    await expect(sink.write([slice(0, 3)])).rejects.toMatchObject({ verdict: 'retry' });
    second.mood = 'well';
    expect(await sink.write([slice(0, 3)])).toEqual([]);
    for (const { values } of [first, second]) expect(values).toEqual(['0', '1', '2']);
  });

  it('one that must stop is heard, also where another only waits', async () => {
    const first = new Store();
    first.mood = 'away';
    const refused = new PipelineError('postgres_refused', 'no such function');
    const stops = { ...new Store().effect(words), write: () => Promise.reject(refused) };
    const sink = oneReader('both', [first.effect(words), stops]);
    await sink.load(begun(at));
    await expect(sink.write([slice(0, 1)])).rejects.toBe(refused);
  });

  it('a topic that only one of them reads reaches only that one', async () => {
    const first = new Store();
    const second = new Store();
    const sink = oneReader('both', [first.effect(words, others), second.effect(words)]);
    expect(sink.topics.map(({ name }) => name)).toEqual(['words', 'others']);
    await sink.load(begun(at, elsewhere));
    await sink.write([slice(0, 1), slice(0, 2, elsewhere)]);
    expect(first.values).toEqual(['0', '0', '1']);
    expect(second.values).toEqual(['0']);
    await sink.caughtUp([at, elsewhere], 0);
    expect(first.caughtUp).toEqual([at, elsewhere].map(partitionId));
    expect(second.caughtUp).toEqual([partitionId(at)]);
  });

  it('two that would decode a topic differently are a defect', () => {
    const own: Topic<string> = { name: words.name, codec: { ...textCodec } };
    expect(() => oneReader('both', [new Store().effect(words), new Store().effect(own)])).toThrow(
      /words with two codecs/,
    );
  });

  it('each has every record once and in order, whatever happens to either', async () => {
    const records = 40;
    const moods = fc.constantFrom<Mood>('well', 'well', 'away', 'unheard', 'overtaken');
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(moods, moods), { maxLength: 60 }),
        fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 40 }),
        fc.tuple(fc.nat(records), fc.nat(records)),
        async (plan, sizes, begunAt) => {
          const { first, second, sink } = two();
          first.next.set(partitionId(at), begunAt[0]);
          second.next.set(partitionId(at), begunAt[1]);
          const left = [...plan];
          const pieces = [...sizes];
          await feed(
            sink,
            records,
            () => pieces.shift() ?? 1,
            () => {
              [first.mood, second.mood] = left.shift() ?? ['well', 'well'];
            },
          );
          const all = slice(0, records).records.map(({ value }) => value);
          expect(first.values).toEqual(all.slice(begunAt[0]));
          expect(second.values).toEqual(all.slice(begunAt[1]));
        },
      ),
    );
  });
});
