import type { EpochMs } from '../schemas/brand.js';
import type { Headers, KafkaRecord } from '../schemas/record.js';

/**
 * What a stage reads, writes, remembers and asks, by name. The wiring gives each name its topic (state and
 * tables too: their changelogs). What is not named here cannot be used.
 */
export interface Contract {
  readonly from: object;
  readonly to: object;
  readonly state: object;
  readonly tables: object;
  readonly ports: object;
  readonly fact: unknown;
  readonly call: unknown;
  readonly answer: unknown;
}

/** One input record, told apart by `from`. */
export type Incoming<M> = {
  [K in keyof M]: KafkaRecord<M[K]> & { readonly from: K };
}[keyof M];

/** Where records lie. */
export interface Partition {
  readonly topic: string;
  readonly partition: number;
}

/** One output. The default key is the input record's, so that order holds. */
export type Emit<M, Gone = never> = {
  [K in keyof M]: {
    readonly to: K;
    readonly value: M[K] | Gone;
    readonly key?: string;
    /** Only for topics partitioned by other than the key; default: the key's partition (murmur2). */
    readonly partition?: number;
    /** Written with it, beside the input's traceparent; text only (a zero byte would end a value). */
    readonly headers?: Headers;
  };
}[keyof M];

/** State of the partition at hand, with the batch's earlier puts, until an abort drops them. */
export type StateStore<V> = Pick<ReadonlyMap<string, V>, 'get' | 'entries'>;

/**
 * State that is a set of 16-byte ids which expire, instead of a map: `seen: IdSet` in a contract's state. Exact within the
 * partition; with the batch's earlier puts, until an abort.
 */
export interface IdSet {
  readonly kind: 'ids';
  readonly has: (id: Buffer) => boolean;
}

/** How a decision sees state of this type. */
export type StoreOf<V> = [V] extends [IdSet] ? IdSet : StateStore<V>;

/** A compacted topic, read to its end before the first record is taken, followed live after. */
export type GlobalTable<V> = Pick<StateStore<V>, 'get' | 'entries'>;

/** All that a decision may look at besides its record and fact. */
export interface View<C extends Contract> {
  readonly now: EpochMs;
  /** The source partition whose state this is. */
  readonly partition?: number;
  readonly source?: Partition;
  readonly state: { readonly [K in keyof C['state']]: StoreOf<C['state'][K]> };
  readonly tables: { readonly [K in keyof C['tables']]: GlobalTable<C['tables'][K]> };
}

export interface GatherView<C extends Contract> extends Pick<View<C>, 'now' | 'tables'> {
  readonly stateOf: (record: Incoming<C['from']>) => View<C>['state'];
}

/** A state change; null deletes. `key` is the store's, not the record's. To an id set: one more id. */
export type Put<M> = {
  [K in keyof M]: M[K] extends IdSet
    ? { readonly to: K; readonly id: Buffer }
    : { readonly to: K; readonly key: string; readonly value: M[K] | null };
}[keyof M];

type If<T, Then, Else> = unknown extends T ? Else : Then;

/** emit, put and the input's offset: one transaction. Calls follow only after it has committed. */
export interface Decision<C extends Contract> {
  readonly emit?: readonly Emit<C['to']>[];
  readonly put?: readonly Put<C['state']>[];
  readonly call?: readonly If<C['call'], C['call'], never>[];
  /** Ids that earlier stages of the chain put for this record are not remembered: it may come again. */
  readonly forget?: boolean;
  /** Counted as an event of the stage once committed: what has no output to be counted by. */
  readonly event?: string;
}

export interface Processor<C extends Contract> {
  readonly name: string;
  /**
   * A fact a record, in order; at most one call per dependency per batch. null asks nothing. What is asked may
   * depend on configuration and time (worst-case cost, is it expired), hence the view; and on what its partition may do
   * without asking (leases), hence its state, as earlier transactions left it.
   */
  readonly gather: If<
    C['fact'],
    (
      batch: readonly Incoming<C['from']>[],
      ports: C['ports'],
      view: GatherView<C>,
    ) => Promise<readonly C['fact'][]>,
    null
  >;
  /**
   * Before the first record of these partitions is gathered under an assignment, and again after a gather that failed:
   * a store outside Kafka that keeps what gather asks learns whose they are, and refuses their former owner (rule 18).
   */
  readonly takeOver?: (partitions: readonly Partition[], ports: C['ports']) => Promise<void>;
  /** Pure: time, state and tables come in with the view. */
  readonly decide: (record: Incoming<C['from']>, fact: C['fact'], view: View<C>) => Decision<C>;
  /** Timers: called per assigned partition with that partition's state, at least every second. */
  readonly tick?: (view: View<C>) => Decision<C>;
  /**
   * Once per partition that had records, answers or a tick in this transaction, after them all: what is worth
   * writing once a batch, not once a record. Its view shows the puts made before it.
   */
  readonly flush?: (view: View<C>) => Decision<C>;
  /** Once per partition after its state was restored and before its first record: what a former owner left open. */
  readonly restored?: (view: View<C>) => Decision<C>;
  /**
   * decide threw for this record, or gather for it alone: what goes out besides the dead letter (a refusal with reason
   * `internal`, which voids money where this record reserved some). `fact` is what gather said, or gatherFailed;
   * null: nothing is known.
   */
  readonly failed?: (
    record: Incoming<C['from']>,
    error: Error,
    view: View<C>,
    fact: C['fact'] | null,
  ) => Decision<C>;
  /** gather throws for this record: asks for what `failed` must know of it. Rare, so it may cost a call a record. */
  readonly gatherFailed?: (record: Incoming<C['from']>, ports: C['ports']) => Promise<C['fact']>;
  /** After the commit that carries the decisions: best effort, e.g. freeing a cache entry. */
  readonly committed?: (decisions: readonly Decision<C>[], ports: C['ports']) => Promise<void>;
  /** Counters of its own, summed over decisions. */
  readonly metrics?: Readonly<Record<string, (decision: Decision<C>) => number>>;
}

/** A stage that calls out after its claim is committed: answers come in any order, decided in later transactions. */
export interface Caller<C extends Contract> extends Processor<C> {
  /** One answer a call, each naming its call. */
  readonly perform: (
    calls: readonly C['call'][],
    ports: C['ports'],
  ) => AsyncIterable<C['answer'] & { readonly call: C['call'] }>;
  readonly answered: (answer: C['answer'], view: View<C>) => Decision<C>;
  /** An answer whose partition now belongs to another worker: it is written down, never thrown away. */
  readonly late?: (answer: C['answer']) => Pick<Decision<C>, 'emit'>;
}
