import { asError, PipelineError } from '../../schemas/error.js';
import type { Topic } from '../../schemas/record.js';
import type { EpochMs } from '../../schemas/brand.js';
import {
  type AnyAnswer,
  type AnyDecision,
  type AnyRecord,
  type AnyStage,
  type AnyView,
  idSpanMs,
  isPacked,
  topicsOf,
} from '../topology.js';
import { deadLetter } from './dead-letters.js';
import { gatherAll } from './gather.js';
import type { PartitionId, RawRecord, Write } from './raw-record.js';
import { partitionId } from './raw-record.js';
import { IdSetStore } from './id-set-store.js';
import { PackedStore } from './packed-store.js';
import { StagedStore } from './state-store.js';
import { sizeOf, type TopicLimits } from './topic-limits.js';
import type { GlobalTable } from '../../processors/processor.js';

/** A record that the chain's first stage takes, decoded. */
export interface Input {
  readonly raw: RawRecord;
  readonly value: unknown;
}

/** A call to make once the transaction that claims it has committed. */
export interface ClaimedCall {
  readonly stage: ChainStage;
  readonly shard: Shard;
  readonly call: unknown;
}

/** A stage as the chain runs it: names resolved to topics. */
export interface ChainStage {
  readonly name: string;
  readonly definition: AnyStage;
  readonly ports: object;
  /** Input topic name to the contract's name. */
  readonly inputs: ReadonlyMap<string, string>;
  readonly tables: Readonly<Record<string, GlobalTable<unknown>>>;
  /** Memo of the chain: output topic to the later stage that takes it directly; null: none. */
  readonly handovers: Map<string, Handover | null>;
}

export interface Handover {
  readonly stage: ChainStage;
  readonly from: string;
}

type AnyStore = StagedStore<unknown> | IdSetStore;

/** The state of one source partition: a store per stage and name. */
export class Shard {
  readonly id: PartitionId;
  readonly topic: string;
  readonly partition: number;
  readonly stores: ReadonlyMap<string, Readonly<Record<string, AnyStore>>>;

  constructor(topic: string, partition: number, stages: readonly ChainStage[]) {
    this.id = partitionId({ topic, partition });
    this.topic = topic;
    this.partition = partition;
    this.stores = new Map(
      stages.map(({ name, definition }) => [
        name,
        Object.fromEntries(
          Object.entries(definition.wire.state ?? {}).map(([store, wired]) => {
            const spanMs = idSpanMs(wired);
            if (spanMs !== null) return [store, new IdSetStore(spanMs)];
            return [
              store,
              isPacked(wired) ? new PackedStore<unknown>() : new StagedStore<unknown>(),
            ];
          }),
        ),
      ]),
    );
  }

  *all(): Generator<{ stage: string; store: string; staged: AnyStore }> {
    for (const [stage, stores] of this.stores) {
      for (const [store, staged] of Object.entries(stores)) yield { stage, store, staged };
    }
  }

  /** Ids whose time is over are gone before anybody asks for them. */
  expire(now: EpochMs): void {
    for (const { staged } of this.all()) if (staged.kind === 'ids') staged.expire(now);
  }
}

export interface ChainMetrics {
  readonly recordsIn: (stage: string, count: number) => void;
  readonly recordsOut: (stage: string, to: string, count: number) => void;
  readonly deadLetters: (stage: string, code: string) => void;
  readonly custom: (stage: string, name: string, count: number) => void;
}

/** A record of the batch on its way through the chain. */
interface Passage {
  readonly record: AnyRecord;
  readonly shard: Shard;
  readonly raw: RawRecord;
  /** Ids that were put for it so far, in whichever stage. */
  readonly ids: { readonly store: IdSetStore; readonly id: Buffer }[];
}

/** A record, and what gather said of it. */
interface Known extends Pick<Passage, 'record' | 'raw' | 'shard'> {
  readonly fact: unknown;
}

/** What one transaction will write and do; built by one pass of the chain. */
export class ChainRun {
  readonly writes: Write[] = [];
  readonly calls: ClaimedCall[] = [];
  /** Per stage, its decisions of this run, for `committed` and metrics. */
  readonly decisions = new Map<ChainStage, AnyDecision[]>();
  /** Shards whose state or records this run touches. */
  readonly touched = new Set<Shard>();
  private readonly options: ChainOptions;
  private readonly taken = new Map<string, number>();
  /** Records without a key have no order and no exact deduplication: counted, so that their producer can be told. */
  private readonly withoutKey = new Map<string, number>();
  private readonly written = new Map<string, Map<string, number>>();
  private readonly events = new Map<ChainStage, Map<string, number>>();
  private readonly views = new Map<ChainStage, Map<Shard, AnyView>>();

  constructor(options: ChainOptions) {
    this.options = options;
  }

  /** Runs records through all stages, one gather per stage and batch. */
  async run(inputs: readonly { readonly input: Input; readonly shard: Shard }[]): Promise<void> {
    const { stages } = this.options;
    const waiting = new Map<ChainStage, Passage[]>();
    const shards = new Map<PartitionId, Shard>();
    for (const { input, shard } of inputs) {
      this.touched.add(shard);
      shards.set(shard.id, shard);
      const stage = stages.find((one) => one.inputs.has(input.raw.at.topic));
      const from = stage?.inputs.get(input.raw.at.topic);
      if (stage === undefined || from === undefined) {
        throw new PipelineError('defect', `no stage of the chain reads ${input.raw.at.topic}`);
      }
      const { raw } = input;
      if (raw.key === null)
        this.withoutKey.set(stage.name, (this.withoutKey.get(stage.name) ?? 0) + 1);
      const record: AnyRecord = {
        at: raw.at,
        key: raw.key,
        value: input.value,
        timestamp: raw.timestamp,
        headers: raw.headers,
        size: raw.value?.length ?? 0,
        from,
      };
      append(waiting, stage, { record, shard, raw, ids: [] });
    }
    for (const stage of stages) {
      const batch = waiting.get(stage);
      if (batch === undefined) continue;
      const { processor } = stage.definition;
      const now = this.options.now();
      const facts =
        processor.gather === null
          ? null
          : await gatherAll(
              {
                gather: processor.gather,
                gatherFailed: processor.gatherFailed,
                ports: stage.ports,
                view: {
                  now,
                  tables: stage.tables,
                  stateOf: (record) =>
                    shards.get(partitionId(record.at))?.stores.get(stage.name) ?? {},
                },
              },
              batch.map(({ record }) => record),
            );
      if (processor.gather !== null) this.options.gathered?.();
      this.taken.set(stage.name, batch.length);
      for (const [index, passage] of batch.entries()) {
        const { record, shard, raw, ids } = passage;
        const gathered = facts?.[index];
        const decision =
          gathered?.kind === 'poison'
            ? this.bury(stage, { record, raw, shard, fact: gathered.fact }, gathered.error)
            : this.decide(stage, { record, raw, shard, fact: gathered?.fact });
        for (const next of this.accept(stage, decision, shard, passage)) {
          append(waiting, next.stage, { record: next.record, shard, raw, ids });
        }
      }
    }
  }

  /** Answers of calls, in any order. */
  answer(stage: ChainStage, shard: Shard, answer: AnyAnswer): void {
    this.touched.add(shard);
    const { answered } = stage.definition.processor;
    if (answered === undefined) throw new PipelineError('defect', `${stage.name} takes no answers`);
    this.accept(stage, this.encoded(stage, answered(answer, this.view(stage, shard)), null), shard);
  }

  /** An answer whose partition has gone to another worker: no state, no offset, but written down. */
  late(stage: ChainStage, shard: Shard, answer: AnyAnswer): void {
    const decision = stage.definition.processor.late?.(answer);
    if (decision !== undefined) this.accept(stage, this.encoded(stage, decision, null), shard);
  }

  /** Timers (`tick`), or what a former owner left open (`restored`). */
  wake(shard: Shard, hook: 'tick' | 'restored'): void {
    shard.expire(this.options.now());
    for (const stage of this.options.stages) {
      const run = stage.definition.processor[hook];
      if (run === undefined) continue;
      const decision = run(this.view(stage, shard));
      if (isNothing(decision)) continue;
      this.touched.add(shard);
      this.accept(stage, this.encoded(stage, decision, null), shard);
    }
  }

  /** End of the batch: what is written once per partition, then the state changes. */
  finish(): void {
    for (const stage of this.options.stages) {
      const { flush } = stage.definition.processor;
      if (flush !== undefined) {
        for (const shard of this.touched) {
          this.accept(stage, this.encoded(stage, flush(this.view(stage, shard)), null), shard);
        }
      }
    }
    for (const shard of this.touched) this.changelog(shard);
  }

  /** What the run took and wrote, once it is known to have committed. */
  report({ recordsIn, recordsOut, custom }: ChainMetrics): void {
    for (const [stage, count] of this.withoutKey) custom(stage, 'null_key', count);
    for (const [stage, events] of this.events) {
      for (const [event, count] of events) custom(stage.name, event, count);
    }
    for (const [stage, count] of this.taken) recordsIn(stage, count);
    for (const [stage, counts] of this.written) {
      for (const [to, count] of counts) recordsOut(stage, to, count);
    }
  }

  private decide(stage: ChainStage, known: Known): Encoded {
    const { record, raw, shard, fact } = known;
    const { processor } = stage.definition;
    try {
      const decision = processor.decide(record, fact, this.view(stage, shard));
      return this.encoded(stage, decision, { record, raw });
    } catch (thrown) {
      const error = asError(thrown);
      if (error instanceof PipelineError && error.verdict !== 'dead-letter') throw error;
      return this.bury(stage, known, error);
    }
  }

  /**
   * A dead letter, and what the stage says must go with it (a refusal that voids money). decide is pure: what throws
   * once throws again, so it is not tried again; what gather asks was (gather.ts).
   */
  private bury(stage: ChainStage, { record, raw, shard, fact }: Known, error: Error): Encoded {
    const code = error instanceof PipelineError ? error.code : 'undecidable';
    this.options.metrics.deadLetters(stage.name, code);
    const { failed } = stage.definition.processor;
    let withIt: Encoded = { decision: {}, outputs: [] };
    let message = error.message;
    try {
      const last = failed?.(record, error, this.view(stage, shard), fact ?? null);
      withIt = this.encoded(stage, last ?? {}, { record, raw });
    } catch (thrown) {
      // Not even that can be said: the record must not stop its partition for it. A person finds it here.
      message = `${message}; and its refusal: ${asError(thrown).message}`;
    }
    const { deadLetters, limits } = this.options;
    this.writes.push(
      deadLetter(raw, deadLetters, stage.name, code, message, limits?.of(deadLetters)),
    );
    return withIt;
  }

  /** Stages a decision's writes, puts and calls; returns the records that a later stage of the chain takes. */
  private accept(
    stage: ChainStage,
    { decision, outputs }: Encoded,
    shard: Shard,
    passage: Passage | null = null,
  ): { stage: ChainStage; record: AnyRecord }[] {
    const { event } = decision;
    if (event !== undefined) {
      const events = this.events.get(stage) ?? new Map<string, number>();
      this.events.set(stage, events.set(event, (events.get(event) ?? 0) + 1));
    }
    if (isNothing(decision)) return [];
    const source = passage?.record ?? null;
    append(this.decisions, stage, decision);
    const onward: { stage: ChainStage; record: AnyRecord }[] = [];
    let written = this.written.get(stage.name);
    if (written === undefined) this.written.set(stage.name, (written = new Map<string, number>()));
    for (const { write, to, key, value } of outputs) {
      this.writes.push(write);
      written.set(to, (written.get(to) ?? 0) + 1);
      const next = source === null ? undefined : this.handover(stage, write.topic);
      if (next !== undefined && source !== null && value !== null) {
        // Field by field: a spread here is measurable.
        const { at, timestamp, headers, size } = source;
        const record = { at, key, value, timestamp, headers, size, from: next.from };
        onward.push({ stage: next.stage, record });
      }
    }
    for (const put of decision.put ?? []) {
      const store = shard.stores.get(stage.name)?.[put.to];
      if (store?.kind === 'ids' && 'id' in put) {
        store.add(put.id, this.options.now());
        passage?.ids.push({ store, id: put.id });
      } else if (store?.kind === 'map' && 'key' in put) store.put(put.key, put.value);
      else throw new PipelineError('defect', `${stage.name} has no such state ${put.to}`);
    }
    if (decision.forget === true)
      for (const { store, id } of passage?.ids.splice(0) ?? []) store.forget(id);
    for (const call of decision.call ?? []) this.calls.push({ stage, shard, call });
    return onward;
  }

  /** The later stage of the chain that takes this output directly, if any. */
  private handover(stage: ChainStage, topic: string): Handover | undefined {
    let known = stage.handovers.get(topic);
    if (known === undefined) {
      const { stages } = this.options;
      const next = stages.slice(stages.indexOf(stage) + 1).find((one) => one.inputs.has(topic));
      const from = next?.inputs.get(topic);
      known = next === undefined || from === undefined ? null : { stage: next, from };
      stage.handovers.set(topic, known);
    }
    return known ?? undefined;
  }

  /** @throws PipelineError as `encoded`, and `output_too_large` */
  private encoded(...what: Parameters<typeof encoded>): Encoded {
    const result = encoded(...what);
    const { limits } = this.options;
    if (limits !== undefined)
      for (const { write } of result.outputs) {
        const limit = limits.of(write.topic);
        if (sizeOf(write) > limit) throw tooLarge('output_too_large', write, limit);
      }
    return result;
  }

  private view(stage: ChainStage, shard: Shard): AnyView {
    let ofStage = this.views.get(stage);
    if (ofStage === undefined) this.views.set(stage, (ofStage = new Map<Shard, AnyView>()));
    let view = ofStage.get(shard);
    if (view === undefined) {
      const now = this.options.now();
      shard.expire(now);
      view = {
        now,
        partition: shard.partition,
        source: { topic: shard.topic, partition: shard.partition },
        state: shard.stores.get(stage.name) ?? {},
        tables: stage.tables,
      };
      ofStage.set(shard, view);
    }
    return view;
  }

  private changelog(shard: Shard): void {
    for (const { stage, store, staged } of shard.all()) {
      const topic = this.options.changelogs.get(`${stage}/${store}`);
      if (topic === undefined)
        throw new PipelineError('defect', `${stage} has no changelog for ${store}`);
      for (const { key, value } of staged.changelog(topic.codec)) {
        const write = {
          topic: topic.name,
          partition: shard.partition,
          key: changelogKey(shard.topic, key),
          value,
        };
        const limit = this.options.limits?.of(topic.name) ?? Number.POSITIVE_INFINITY;
        // Many records may have made it: none of them can be buried for it.
        if (sizeOf(write) > limit) throw tooLarge('topic_too_small', write, limit);
        this.writes.push(write);
      }
    }
  }
}

export interface ChainOptions {
  readonly stages: readonly ChainStage[];
  /** `<stage>/<store>` to its changelog. */
  readonly changelogs: ReadonlyMap<string, Topic<unknown>>;
  readonly deadLetters: string;
  readonly now: () => EpochMs;
  readonly metrics: ChainMetrics;
  /** What topics take; absent: anything. */
  readonly limits?: TopicLimits;
  /** A stage has asked its dependency; for fault tests. */
  readonly gathered?: () => void;
}

/**
 * Several source topics share one changelog: partition = the source's, key = source topic, then the store's key.
 * No topic name has a |; a NUL would end the key in node-rdkafka.
 */
export const changelogKey = (sourceTopic: string, key: string): string => `${sourceTopic}|${key}`;

/** The store's key, or null where the entry belongs to another source topic. */
export const storeKey = (sourceTopic: string, key: string): string | null =>
  key.startsWith(`${sourceTopic}|`) ? key.slice(sourceTopic.length + 1) : null;

/** The source topic and the store's key; null where the key is none of ours. */
export const changelogKeyParts = (key: string): readonly [string, string] | null => {
  const end = key.indexOf('|');
  return end < 0 ? null : [key.slice(0, end), key.slice(end + 1)];
};

/** Input topic name to the contract's name, for one stage. */
export const inputsOf = (definition: AnyStage): ReadonlyMap<string, string> =>
  new Map(
    Object.entries(definition.wire.from ?? {}).flatMap(([name, wired]) =>
      topicsOf(wired).map((topic) => [topic.name, name] as const),
    ),
  );

/** A decision whose outputs are bytes already: what cannot be encoded or has no topic fails before anything is staged. */
interface Encoded {
  readonly decision: AnyDecision;
  readonly outputs: readonly Output[];
}

interface Output {
  readonly to: string;
  readonly write: Write;
  /** As a later stage of the chain would take them. */
  readonly key: Buffer | null;
  readonly value: unknown;
}

const tooLarge = (
  code: 'output_too_large' | 'topic_too_small',
  write: Write,
  limit: number,
): PipelineError =>
  new PipelineError(
    code,
    `${sizeOf(write).toString()} bytes for ${write.topic}, which takes ${limit.toString()} (its max.message.bytes)`,
  );

/** @throws PipelineError `unencodable`, `undecidable` (its family has no topic for it), `defect` */
const encoded = (
  stage: ChainStage,
  decision: AnyDecision,
  source: { readonly record: AnyRecord; readonly raw: RawRecord } | null,
): Encoded => ({
  decision,
  outputs: (decision.emit ?? []).map(({ to, value, key: ownKey, partition, headers }) => {
    const wired = stage.definition.wire.to?.[to];
    if (wired === undefined)
      throw new PipelineError('defect', `${stage.name} emits to unwired ${to}`);
    const topic: Topic<unknown> = 'all' in wired ? wired.pick(value) : wired;
    const key = ownKey === undefined ? (source?.record.key ?? null) : Buffer.from(ownKey, 'utf8');
    if (key === null && source === null && partition === undefined) {
      throw new PipelineError(
        'defect',
        `${stage.name} emits to ${topic.name} without a key or a record to take it from`,
      );
    }
    const traceparent = source?.raw.headers['traceparent'];
    const write = {
      topic: topic.name,
      partition: partition ?? null,
      key,
      value: value === null ? null : topic.codec.encode(value),
    };
    // A spread in each record's way is measurable.
    const withHeaders =
      traceparent === undefined && headers === undefined
        ? write
        : { ...write, headers: { ...(traceparent && { traceparent }), ...headers } };
    return { to, write: withHeaders, key, value };
  }),
});

const isNothing = ({ emit, put, call }: AnyDecision): boolean =>
  (emit?.length ?? 0) === 0 && (put?.length ?? 0) === 0 && (call?.length ?? 0) === 0;

const append = <K, V>(lists: Map<K, V[]>, key: K, value: V): void => {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
};
