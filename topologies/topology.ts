import type {
  Caller,
  Contract,
  GlobalTable,
  IdSet,
  Partition,
  Processor,
  StateStore,
} from '../processors/processor.js';
import type { EpochMs } from '../schemas/brand.js';
import type { IdBatch } from '../schemas/id-batch.js';
import type { Headers, KafkaRecord, Topic, TopicFamily } from '../schemas/record.js';

type Wired<V> = Topic<V> | TopicFamily<V>;

/** The changelog of an id set: it expires by retention, somewhat after the span that its ids are kept for. */
export interface IdLog extends Topic<IdBatch> {
  readonly spanMs: number;
}

/** The changelog of a store whose entries come and go in great numbers: packed, a record for many (PackedStore). */
export interface PackedLog<V> extends Topic<V> {
  readonly packed: true;
}

/** A topic for each name of the contract; groups without names are left out. */
export type Wire<C extends Contract> = {
  readonly [P in 'from' | 'to' | 'state' | 'tables' as keyof C[P] extends never ? never : P]: {
    readonly [K in keyof C[P]]: C[P][K] extends IdSet ? IdLog : Wired<C[P][K]>;
  };
};

type If<T, Then, Else> = unknown extends T ? Else : Then;

/** A processor with its topics; what it needs from outside shows in the type. */
export interface Stage<in Ports> {
  readonly name: string;
  readonly processor: AnyProcessor;
  readonly wire: AnyWire;
  /** Carries Ports only; never set. */
  readonly needs?: (ports: Ports) => void;
}

/** What the runtime sees: names and topics, types erased. */
export type AnyWire = Readonly<
  Partial<Record<'from' | 'to' | 'state' | 'tables', Readonly<Record<string, Wired<unknown>>>>>
>;

/** A processor with its types erased: the compiler has checked the wiring, the runtime needs names only. */
export interface AnyProcessor {
  readonly name: string;
  readonly gather:
    | null
    | ((
        batch: readonly AnyRecord[],
        ports: object,
        view: AnyGatherView,
      ) => Promise<readonly unknown[]>);
  readonly takeOver?: (partitions: readonly Partition[], ports: object) => Promise<void>;
  readonly decide: (record: AnyRecord, fact: unknown, view: AnyView) => AnyDecision;
  readonly tick?: (view: AnyView) => AnyDecision;
  readonly flush?: (view: AnyView) => AnyDecision;
  readonly restored?: (view: AnyView) => AnyDecision;
  readonly failed?: (record: AnyRecord, error: Error, view: AnyView, fact: unknown) => AnyDecision;
  readonly gatherFailed?: (record: AnyRecord, ports: object) => Promise<unknown>;
  readonly committed?: (decisions: readonly AnyDecision[], ports: object) => Promise<void>;
  readonly metrics?: Readonly<Record<string, (decision: AnyDecision) => number>>;
  readonly perform?: (calls: readonly unknown[], ports: object) => AsyncIterable<AnyAnswer>;
  readonly answered?: (answer: AnyAnswer, view: AnyView) => AnyDecision;
  readonly late?: (answer: AnyAnswer) => AnyDecision;
}

/** An answer names the call it answers. */
export interface AnyAnswer {
  readonly call: unknown;
}

export type AnyRecord = KafkaRecord<unknown> & { readonly from: string };

export interface AnyView {
  readonly now: EpochMs;
  /** Of the state at hand. */
  readonly partition?: number;
  readonly source?: Partition;
  readonly state: Readonly<Record<string, StateStore<unknown> | IdSet>>;
  readonly tables: Readonly<Record<string, GlobalTable<unknown>>>;
}

export interface AnyGatherView extends Pick<AnyView, 'now' | 'tables'> {
  readonly stateOf: (record: AnyRecord) => AnyView['state'];
}

export interface AnyDecision {
  readonly emit?: readonly {
    readonly to: string;
    readonly value: unknown;
    readonly key?: string;
    readonly partition?: number;
    readonly headers?: Headers;
  }[];
  readonly put?: readonly (
    | { readonly to: string; readonly key: string; readonly value: unknown }
    | { readonly to: string; readonly id: Buffer }
  )[];
  readonly call?: readonly unknown[];
  readonly forget?: boolean;
  readonly event?: string;
}

export type AnyStage = Stage<never>;

/** What a list of stages needs together: the intersection of their ports. */
type PortsOf<S> = (S extends Stage<infer P> ? (ports: P) => void : never) extends (
  ports: infer All,
) => void
  ? All
  : never;

/** Stages and the tasks they are chained into. An inner list is one task in one transaction, passing objects. */
export interface Topology<in Ports> {
  readonly name: string;
  readonly tasks: readonly (readonly AnyStage[])[];
  /** Carries Ports only; never set. */
  readonly needs?: (ports: Ports) => void;
}

export function stage<C extends Contract>(
  processor: Processor<C> & If<C['call'], Caller<C>, unknown>,
  wire: Wire<C>,
): Stage<C['ports']> {
  return {
    name: processor.name,
    processor: processor as unknown as AnyProcessor,
    wire: wire,
  };
}

export function topology<const T extends readonly (readonly AnyStage[])[]>(
  name: string,
  tasks: T,
): Topology<PortsOf<T[number][number]>> {
  return { name, tasks };
}

/** Every topic of a wire entry. */
export const topicsOf = (wired: Wired<unknown>): readonly Topic<unknown>[] =>
  'all' in wired ? wired.all : [wired];

export const isPacked = (wired: Wired<unknown>): boolean => 'packed' in wired;

/** How long the ids of this state are kept; null: it is no id set. */
export const idSpanMs = (wired: Wired<unknown>): number | null =>
  'spanMs' in wired && typeof wired.spanMs === 'number' ? wired.spanMs : null;
