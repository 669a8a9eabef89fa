import type { MessageDeduped, MessageRouted, Parked } from '../../schemas/generated/records.js';
import type { Coordinates, Headers } from '../../schemas/record.js';
import type { Caller, Contract, Decision, View } from '../processor.js';
import { RELEASE_RUN, reentryHeaders } from '../reentry/headers.js';
import {
  type Entry,
  type Place,
  begun,
  due,
  hourAndBlock,
  isTaken,
  packed,
  takenKey,
  waitingKey,
} from './schedule.js';

/** A parked record, read again. */
export interface ParkedRecord {
  readonly at: Coordinates;
  readonly value: Parked;
  readonly headers: Headers;
}

/** Read these records of one partition again. */
export interface ReadAgain {
  /** The store's key of the offsets. */
  readonly taken: string;
  /** The topic's partition. */
  readonly partition: number;
  /** Ascending. */
  readonly offsets: readonly number[];
}

export interface WasRead {
  readonly call: ReadAgain;
  /** In the order of offsets; fewer where the topic's retention took some. null: Kafka did not answer. */
  readonly records: readonly ParkedRecord[] | null;
}

/** Reads records of `parked` by their offsets. */
export interface ParkedRecords {
  /** One answer a call. Never throws: what cannot be read now is answered null, after a pause. */
  readonly read: (calls: readonly ReadAgain[]) => AsyncIterable<WasRead>;
}

export interface Release extends Contract {
  readonly from: { readonly parked: Parked };
  /** again.budget-reserve and again.send: back to where it was parked from. */
  readonly to: { readonly deduped: MessageDeduped; readonly routed: MessageRouted };
  readonly state: { readonly schedule: Entry };
  readonly ports: { readonly parkedRecords: ParkedRecords };
  readonly call: ReadAgain;
  readonly answer: WasRead;
}

/** Entries of a partition that are read again at once: bounds what is in memory (a block each). */
const TAKEN_AT_ONCE = 8;

/**
 * Releases what was parked until a time, once that time has come: never early, each once. The schedule is this
 * partition's state, so it survives restarts and moves with the partition; a release and its removal from the
 * schedule are one transaction. What has no time waits for a person.
 */
export const release: Caller<Release> = {
  name: 'release',
  gather: null,

  decide: ({ value: { until }, at }, _fact, { state }) => {
    if (until === null) return { event: 'for_a_person' };
    const key = waitingKey(until, at.offset);
    const entry = [...(state.schedule.get(key) ?? []), packed(until, at.offset)];
    return { put: [{ to: 'schedule', key, value: entry }], event: 'scheduled' };
  },

  tick: ({ now, partition, state }) => {
    let free = TAKEN_AT_ONCE;
    const places: { readonly key: string; readonly entry: Entry; readonly at: Place }[] = [];
    for (const [key, entry] of state.schedule.entries()) {
      if (isTaken(key)) free -= 1;
      const at = hourAndBlock(key);
      if (at !== null && begun(at.hour, now)) places.push({ key, entry, at });
    }
    const puts: NonNullable<Decision<Release>['put']>[number][] = [];
    const calls: ReadAgain[] = [];
    for (const { key, entry, at } of places) {
      if (free <= 0) break;
      const { offsets, rest } = due(at, entry, now);
      if (offsets.length === 0) continue;
      const taken = takenKey(at, now);
      puts.push({ to: 'schedule', key, value: rest.length === 0 ? null : rest });
      puts.push({ to: 'schedule', key: taken, value: offsets });
      calls.push({ taken, partition: partitionOf(partition), offsets });
      free -= 1;
    }
    return { put: puts, call: calls };
  },

  restored: ({ partition, state }) => {
    const taken = [...state.schedule.entries()].filter(([key]) => isTaken(key));
    return {
      // Written again as they are: a call follows only a transaction.
      put: taken.map(([key, value]) => ({ to: 'schedule', key, value })),
      call: taken.map(([key, offsets]) => ({
        taken: key,
        partition: partitionOf(partition),
        offsets,
      })),
    };
  },

  perform: (calls, { parkedRecords }) => parkedRecords.read(calls),

  answered: ({ call, records }, { now, state }) => {
    const { taken } = call;
    const offsets = state.schedule.get(taken);
    // Released already: a restore asked a second time.
    if (offsets === undefined) return {};
    if (records === null)
      return { put: [{ to: 'schedule', key: taken, value: offsets }], call: [call] };
    return {
      emit: records.flatMap((record) => released(record, now)),
      put: [{ to: 'schedule', key: taken, value: null }],
      ...(records.length < offsets.length && { event: 'gone_from_parked' }),
    };
  },

  metrics: { released: ({ emit = [] }) => emit.length },
};

const partitionOf = (partition: View<Release>['partition']): number => {
  if (partition === undefined) throw new Error('the schedule belongs to a partition');
  return partition;
};

/**
 * Tells one parking of a message from the next: before budget it is parked once; after route each parking is a
 * diversion, and counts as one.
 */
export const releaseNoOf = (routed: MessageRouted | null): number => 1 + (routed?.diversions ?? 0);

const released = (
  { at, value: { deduped, routed }, headers }: ParkedRecord,
  now: number,
): NonNullable<Decision<Release>['emit']>[number][] => {
  const message = deduped ?? routed?.reserved.deduped;
  if (message === undefined) return [];
  const { key, generation } = message;
  const { traceparent } = headers as { readonly traceparent?: Buffer };
  const about = {
    ...reentryHeaders({
      runId: RELEASE_RUN,
      startedAt: now,
      reason: 'its time has come',
      generation,
      releaseNo: releaseNoOf(routed),
      origin: at,
    }),
    ...(traceparent && { traceparent }),
  };
  if (routed !== null) return [{ to: 'routed', key, value: routed, headers: about }];
  return deduped === null ? [] : [{ to: 'deduped', key, value: deduped, headers: about }];
};
