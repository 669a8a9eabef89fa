import type {
  ConfigEntry,
  MessageDeduped,
  MessageRefused,
  MessageRequest,
  Parked,
  RefusalReason,
} from '../../schemas/generated/records.js';
import type { Coordinates } from '../../schemas/record.js';
import { templatesOf, tenantsOf } from '../configuration.js';
import type { ConfigTable } from '../configuration.js';
import { laneOf } from '../lane.js';
import type { Contract, Decision, IdSet, Incoming, Processor } from '../processor.js';
import type { RecipientHash } from '../recipient-hash.js';
import type { Refusal } from '../refusal.js';
import { VOID_WHATEVER, refused } from '../refusal.js';
import type { FirstSeen, FirstSighting } from './first-seen.js';
import { contentHash, keyHash } from './key.js';
import type { OwnReservations } from './own-reservations.js';
import { holders } from './own-reservations.js';
import { DEDUPE_SPAN_MS } from './span.js';
import { validate } from './validate.js';

/** What is known of a record before it is decided. */
export type DedupeFact =
  /** Bad input: its key was never claimed. It may have paid when it was no bad input yet. */
  | { readonly kind: 'bad'; readonly problem: Refusal }
  /** Redis is away: the partition's set stands alone, and the ledger's direct mode by messageId. */
  | { readonly kind: 'unavailable'; readonly id: Buffer }
  /** content: this record's own. */
  | {
      readonly kind: 'seen';
      readonly id: Buffer;
      readonly first: FirstSighting;
      readonly content: Buffer;
    };

export interface Dedupe extends Contract {
  readonly from: { readonly ingest: MessageRequest };
  readonly to: {
    readonly deduped: MessageDeduped;
    readonly parked: Parked;
    readonly refused: MessageRefused;
  };
  /** keyHash of every request that passed on this partition within the span. */
  readonly state: { readonly seen: IdSet };
  readonly tables: { readonly config: ConfigEntry };
  readonly ports: { readonly firstSeen: FirstSeen; readonly reservations: OwnReservations };
  readonly fact: DedupeFact;
}

export interface DedupeOptions {
  readonly recipientHash: RecipientHash;
  /** TOPIC_PREFIX, to tell a tenant's own ingest topic. */
  readonly topicPrefix: string;
}

const OWN_INGEST = /^ingest\.([^.]+)\.p[0-3]$/;

/** The producer's key, or messageId where it is null: from here on no key is null. */
const keyOf = ({ key, value }: Incoming<Dedupe['from']>): string =>
  key === null ? value.messageId : key.toString();

const sameCoordinates = (a: Coordinates, b: Coordinates): boolean =>
  a.offset === b.offset && a.partition === b.partition && a.topic === b.topic;

/**
 * Lets each request pass once. Two layers: Redis answers for all partitions and lanes, and may be away or empty; the
 * partition's own set moves with the input offset and is exact for keys that always come to the same partition. Bad input is refused before it can take a key; a request whose time has not come is
 * parked after it took its key and before any money is reserved.
 */
export const dedupe = ({ recipientHash, topicPrefix }: DedupeOptions): Processor<Dedupe> => {
  const problemOf = (
    { value, at, size }: Incoming<Dedupe['from']>,
    now: number,
    config: ConfigTable,
  ) =>
    validate(value, {
      now,
      size,
      lane: laneOf(at.topic),
      ownerOfTopic: OWN_INGEST.exec(at.topic.slice(topicPrefix.length))?.[1] ?? null,
      tenants: tenantsOf(config),
      templates: templatesOf(config),
    });

  return {
    name: 'dedupe',

    async gather(batch, { firstSeen, reservations }, { now, tables }) {
      const problems = batch.map((record) => problemOf(record, now, tables.config));
      const suspects = batch.filter(({ value }, index) =>
        mayHavePaid(value, problems[index] ?? null, now),
      );
      const paid = await holders(reservations, suspects, ({ value, at }) => ({
        ...value,
        generation: 0,
        at,
      }));
      const sightings = batch
        .filter((_, index) => problems[index] === null)
        .map(({ value, at }) => ({
          key: keyHash(value),
          content: contentHash(value),
          tenantId: value.tenantId,
          messageId: value.messageId,
          createdAt: value.createdAt,
          at,
        }));
      const firsts = sightings.length === 0 ? [] : await firstSeen.claim(sightings, DEDUPE_SPAN_MS);
      let next = 0;
      return problems.map((problem, index): DedupeFact => {
        if (problem !== null) {
          const record = batch[index];
          const settlement =
            record !== undefined && paid.has(record) ? { settlement: VOID_WHATEVER } : {};
          return { kind: 'bad', problem: { ...problem, ...settlement } };
        }
        const asked = sightings[next];
        const first = firsts[next];
        next += 1;
        if (asked === undefined) throw new Error('a sighting for every good request');
        const { key: id, content } = asked;
        return first === null || first === undefined
          ? { kind: 'unavailable', id }
          : { kind: 'seen', id, first, content };
      });
    },

    decide(record, fact, { now, state }): Decision<Dedupe> {
      const { value: request, at } = record;
      const key = keyOf(record);
      const source = { request, generation: 0, at };
      const refuse = (refusal: Refusal) => ({
        emit: [
          { to: 'refused' as const, key, value: refused(source, refusal, recipientHash, now) },
        ],
      });
      if (fact.kind === 'bad') return refuse(fact.problem);
      // Read again after an abort, a record finds itself: refused as a duplicate, it would be lost.
      if (fact.kind === 'seen' && !sameCoordinates(fact.first.at, at))
        return refuse(sameMessageTwice(fact.first, fact.content));
      // Redis was emptied or is away. The set never holds a record that is read again: it moves with the offset.
      if (state.seen.has(fact.id)) return refuse(seenHere(request));
      const put = [{ to: 'seen' as const, id: fact.id }];
      const deduped: MessageDeduped = { request, generation: 0, key, dedupedAt: now };
      if (request.notBefore !== null && request.notBefore > now)
        return {
          emit: [{ to: 'parked', key, value: untilItsTime(deduped, request.notBefore, now) }],
          put,
        };
      return { emit: [{ to: 'deduped', key, value: deduped }], put };
    },

    failed({ value: request, at, key }, _error, { now }) {
      const refusal = { reason: 'internal', detail: 'a defect of ours in dedupe' } as const;
      return {
        emit: [
          {
            to: 'refused',
            key: key === null ? request.messageId : key.toString(),
            value: refused({ request, generation: 0, at }, refusal, recipientHash, now),
          },
        ],
      };
    },

    metrics: {
      parked: ({ emit = [] }) => emit.filter(({ to }) => to === 'parked').length,
      // Rises only while Redis is away, or has lost what it knew.
      partition_duplicates: ({ emit = [] }) =>
        emit.filter(
          (one) =>
            one.to === 'refused' &&
            one.value.reason === 'duplicate' &&
            one.value.firstSource === null,
        ).length,
    },
  };
};

/** What was no reason when the record was read before, and reserved, and its transaction aborted. */
const COMES_WITH_TIME: ReadonlySet<RefusalReason> = new Set([
  'expired',
  'unknown_tenant',
  'lane_not_allowed',
  'unknown_template',
]);
/** Longer than an ingest topic keeps a record. */
const READ_AGAIN_WITHIN_MS = 30 * 86_400_000;

const mayHavePaid = (
  { createdAt }: MessageRequest,
  problem: Refusal | null,
  now: number,
): boolean =>
  problem !== null &&
  COMES_WITH_TIME.has(problem.reason) &&
  Math.abs(now - createdAt) < READ_AGAIN_WITHIN_MS;

const sameMessageTwice = (first: FirstSighting, content: Buffer): Refusal =>
  first.content.equals(content)
    ? { reason: 'duplicate', detail: 'this key was accepted within the last 24 h', first }
    : {
        reason: 'idempotency_conflict',
        detail: 'this key was accepted within the last 24 h with other content',
        first,
      };

/** The set keeps 16 bytes a key: not which record was first, nor its content. A key that is a messageId names itself. */
const seenHere = ({ idempotencyKey, messageId }: MessageRequest): Refusal => ({
  reason: 'duplicate',
  detail: 'this key was accepted on this partition within the last 24 h',
  ...(idempotencyKey === null && { first: { messageId, at: null } }),
});

const untilItsTime = (deduped: MessageDeduped, until: number, now: number): Parked => ({
  deduped,
  routed: null,
  until,
  why: 'not_before',
  detail: 'notBefore has not come',
  parkedAt: now,
});
