import { DEDUPE_SPAN_MS } from '../processors/dedupe/span.js';
import { LANES } from '../schemas/generated/records.js';
import type { Compatibility, RecordName } from '../schemas/record-types.js';
import type { TopicSchema } from '../schemas/topic-codecs.js';
import { AGAIN_STAGES, RETRY_DELAYS, topicNames } from './topic-names.js';
import type { AgainStage } from './topic-names.js';

export type Cleanup =
  { readonly policy: 'delete'; readonly retentionMs: number } | { readonly policy: 'compact' };

/** One topic, as `millrace topics apply` makes and checks it. */
export interface TopicSpec {
  /** With its prefix. */
  readonly name: string;
  /** What its values are; null: bytes of our own (internal.*) or of anyone (dead-letters), without a schema. */
  readonly record: RecordName | null;
  /** Its subject's compatibility: outsiders write it (BACKWARD_TRANSITIVE), or outsiders read it. */
  readonly compatibility: Compatibility | null;
  readonly partitions: number;
  readonly replicationFactor: number;
  readonly cleanup: Cleanup;
  /** Topic configuration as Kafka names it, complete: what differs in the cluster is drift. */
  readonly config: Readonly<Record<string, string>>;
  /** Outsiders may see it. */
  readonly visibility: 'public' | 'operators' | 'internal';
}

export interface TopicTableOptions {
  readonly prefix: string;
  /** Configured channels: each has routed.<channel>.p0..p3. */
  readonly channels: readonly string[];
  /** Each has ingest.<tenant>.p0..p3. */
  readonly tenantsWithOwnIngest: readonly string[];
  /** Of every topic; never changed later, as keyed state and order depend on it. Default 4. */
  readonly partitions?: number;
  /** Copies of each partition; min.insync.replicas is one less, at least 1. Default 1. */
  readonly replicationFactor?: number;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const KIB = 1024;

/** Written by outsiders: values over 256 KiB are refused by dedupe, over this by the broker. */
const INGEST_MAX_BYTES = 512 * KIB;
/** Later records embed earlier ones. */
const MAX_BYTES = 1024 * KIB;
/** A claim or an unknown attempt holds a whole routed record and its own fields. */
const INTERNAL_MAX_BYTES = 2 * 1024 * KIB;

export const DEFAULT_PARTITIONS = 4;

const keep = (days: number): Cleanup => ({ policy: 'delete', retentionMs: days * DAY_MS });
/** Ids live for the span and to the end of their hour; a segment more, and no clock that is minutes off matters. */
const DEDUPE_KEEP: Cleanup = { policy: 'delete', retentionMs: DEDUPE_SPAN_MS + 2 * HOUR_MS };
const COMPACT: Cleanup = { policy: 'compact' };

const cleanupConfig = (cleanup: Cleanup): Record<string, string> =>
  cleanup.policy === 'compact'
    ? {
        'cleanup.policy': 'compact',
        // Restoring reads the whole changelog: keep at most a tenth of it dead, and roll hourly, because the
        // active segment is never cleaned. Claims come and go within seconds.
        'min.cleanable.dirty.ratio': '0.1',
        'segment.ms': String(HOUR_MS),
        'delete.retention.ms': String(DAY_MS),
      }
    : {
        'cleanup.policy': 'delete',
        'retention.ms': String(cleanup.retentionMs),
        // Kafka's default of 7 d would keep personal data a week longer than the retention says.
        'segment.ms': String(Math.min(DAY_MS, cleanup.retentionMs / 4)),
      };

const AGAIN_RECORDS: Readonly<Record<AgainStage, RecordName>> = {
  dedupe: 'MessageRequest',
  'budget-reserve': 'MessageDeduped',
  route: 'BudgetReserved',
  send: 'MessageRouted',
};

/**
 * Every topic of an installation, in one table: the contract's, then the internal ones.
 * Partition counts are all the same, because a stage's changelog shares its source topic's partitions.
 */
export const topicTable = (options: TopicTableOptions): readonly TopicSpec[] => {
  const { prefix, channels, tenantsWithOwnIngest } = options;
  const partitions = options.partitions ?? DEFAULT_PARTITIONS;
  const replicationFactor = options.replicationFactor ?? 1;
  const names = topicNames(prefix);

  const spec = (
    name: string,
    record: RecordName | null,
    cleanup: Cleanup,
    more: {
      readonly visibility?: TopicSpec['visibility'];
      readonly maxBytes?: number;
      readonly writtenByOutsiders?: true;
      /** Settings of its own. */
      readonly config?: Readonly<Record<string, string>>;
    } = {},
  ): TopicSpec => ({
    name,
    record,
    compatibility:
      record === null
        ? null
        : more.writtenByOutsiders === true
          ? 'BACKWARD_TRANSITIVE'
          : 'FULL_TRANSITIVE',
    partitions,
    replicationFactor,
    cleanup,
    config: {
      ...cleanupConfig(cleanup),
      'max.message.bytes': String(more.maxBytes ?? MAX_BYTES),
      'min.insync.replicas': String(Math.max(1, replicationFactor - 1)),
      ...more.config,
    },
    visibility: more.visibility ?? 'public',
  });
  const ingest = (name: string): TopicSpec =>
    spec(name, 'MessageRequest', keep(7), {
      maxBytes: INGEST_MAX_BYTES,
      writtenByOutsiders: true,
    });
  const internal = (name: string, cleanup: Cleanup): TopicSpec =>
    spec(name, null, cleanup, { visibility: 'internal', maxBytes: INTERNAL_MAX_BYTES });
  const operators = { visibility: 'operators' } as const;

  return [
    ...LANES.map((lane) => ingest(names.ingest(lane))),
    ...tenantsWithOwnIngest.flatMap((tenant) =>
      LANES.map((lane) => ingest(names.tenantIngest(tenant, lane))),
    ),
    ...LANES.map((lane) => spec(names.deduped(lane), 'MessageDeduped', keep(3))),
    ...LANES.map((lane) => spec(names.reserved(lane), 'BudgetReserved', keep(3))),
    ...channels.flatMap((channel) =>
      LANES.map((lane) => spec(names.routed(channel, lane), 'MessageRouted', keep(3))),
    ),
    ...RETRY_DELAYS.flatMap((delay) =>
      LANES.map((lane) => spec(names.retry(delay, lane), 'MessageRouted', keep(3))),
    ),
    ...LANES.map((lane) => spec(names.parked(lane), 'Parked', keep(35))),
    spec(names.feedback, 'DeliveryFeedback', keep(14)),
    spec(names.receipts, 'ProviderReceipt', keep(7)),
    spec(names.retryReceipts, 'ProviderReceipt', keep(7)),
    spec(names.refused, 'MessageRefused', keep(14)),
    spec(names.deadLetters, null, keep(30), operators),
    spec(names.windows, 'ChannelWindow', keep(30)),
    spec(names.breakerLevels, 'BreakerLevel', COMPACT),
    spec(names.breakerCommands, 'BreakerCommand', keep(30), operators),
    spec(names.config, 'ConfigEntry', COMPACT),
    spec(names.accounts, 'AccountLevel', COMPACT),
    ...AGAIN_STAGES.flatMap((stage) =>
      LANES.map((lane) => spec(names.again(stage, lane), AGAIN_RECORDS[stage], keep(3), operators)),
    ),

    ...LANES.map((lane) =>
      spec(names.internal.dedupe(lane), null, DEDUPE_KEEP, {
        visibility: 'internal',
        // A restore reads what the retention has not yet taken: hourly segments, so that little of it is dead.
        config: { 'segment.ms': String(HOUR_MS) },
      }),
    ),
    ...LANES.map((lane) => internal(names.internal.leases(lane), COMPACT)),
    // As long as what they came to: settle must have read both.
    ...LANES.map((lane) => internal(names.internal.spends(lane), keep(14))),
    ...LANES.map((lane) => internal(names.internal.claims(lane), COMPACT)),
    ...LANES.map((lane) => internal(names.internal.claimsRetry(lane), COMPACT)),
    ...LANES.map((lane) => internal(names.internal.schedule(lane), COMPACT)),
    internal(names.internal.unknown, COMPACT),
    internal(names.internal.unknownWaiting, COMPACT),
    internal(names.internal.windowsOpen, COMPACT),
    internal(names.internal.windowsPartials, keep(1)),
    internal(names.internal.windowsMerging, COMPACT),
    internal(names.internal.breakerScopes, COMPACT),
    spec(names.internal.clock, null, keep(1 / 24), {
      visibility: 'internal',
      config: { 'message.timestamp.type': 'LogAppendTime' },
    }),
  ];
};

/** max.message.bytes by topic. */
export const maxBytes = (table: readonly TopicSpec[]): ReadonlyMap<string, number> =>
  new Map(table.map(({ name, config }) => [name, Number(config['max.message.bytes'])]));

/** The topics that have a schema, as the registry and the codecs want them. */
export const topicSchemas = (table: readonly TopicSpec[]): readonly TopicSchema[] =>
  table.flatMap(({ name, record, compatibility }) =>
    record === null || compatibility === null ? [] : [{ topic: name, record, compatibility }],
  );
