import type { EpochMs } from '../../schemas/brand.js';
import { PipelineError, asError } from '../../schemas/error.js';
import type {
  BudgetReserved,
  ConfigEntry,
  MessageDeduped,
  MessageRefused,
  MessageRequest,
  MessageRouted,
} from '../../schemas/generated/records.js';
import { dedupedIn } from '../carried.js';
import { templatesOf, tenantsOf } from '../configuration.js';
import type { ConfigTable } from '../configuration.js';
import type { OwnReservations } from '../dedupe/own-reservations.js';
import { holders } from '../dedupe/own-reservations.js';
import { LIMITS, validateAgain } from '../dedupe/validate.js';
import { laneOf } from '../lane.js';
import type { Contract, Decision, Incoming, Processor } from '../processor.js';
import type { RecipientHash } from '../recipient-hash.js';
import type { Refusal } from '../refusal.js';
import { VOID_WHATEVER, refused } from '../refusal.js';
import { type Reentry, reentryOf } from './headers.js';
import type { PassAnswer, PassRequest, Passes } from './passes.js';

export type ReentryFact =
  | {
      readonly kind: 'asked';
      readonly asked: PassRequest;
      readonly answer: PassAnswer;
      /** Of a request that may pass: what dedupe would refuse it for. It may have paid when there was no such reason yet. */
      readonly problem: Refusal | null;
    }
  /** Not of our writing: it cannot be told what it is or where it comes from. */
  | { readonly kind: 'unreadable'; readonly error: Error };

export interface ComeBack extends Contract {
  /** again.dedupe, again.budget-reserve, again.route, again.send. */
  readonly from: {
    readonly request: MessageRequest;
    readonly deduped: MessageDeduped;
    readonly reserved: BudgetReserved;
    readonly routed: MessageRouted;
  };
  /** What goes on, and (`back`) the same record at the end of its own topic, to be looked at later. */
  readonly to: {
    readonly deduped: MessageDeduped;
    readonly routed: MessageRouted;
    readonly refused: MessageRefused;
    readonly requestBack: MessageRequest;
    readonly dedupedBack: MessageDeduped;
    readonly reservedBack: BudgetReserved;
    readonly routedBack: MessageRouted;
  };
  readonly tables: { readonly config: ConfigEntry };
  readonly ports: { readonly passes: Passes; readonly reservations: OwnReservations };
  readonly fact: ReentryFact;
}

type Incomer = Incoming<ComeBack['from']>;
type Emission = NonNullable<Decision<ComeBack>['emit']>[number];

/**
 * Parked for 30 d and a while more, or 30 d among the dead letters. The ledger would attach a table for any day that it
 * is asked about.
 */
const OLDEST_MS = 62 * 86_400_000;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

const requestOf = (record: Incomer): MessageRequest =>
  record.from === 'request' ? record.value : dedupedIn(record.value).request;

/** A request carries no generation: its header does. Every other record's own must agree with its header. */
const generationOf = (record: Incomer, said: number): number =>
  record.from === 'request' ? said : dedupedIn(record.value).generation;

const askedOf = (record: Incomer, entry: Reentry): PassRequest => {
  const { tenantId, messageId, createdAt } = requestOf(record);
  const { generation, releaseNo, origin, runId, startedAt } = entry;
  return {
    tenantId,
    messageId,
    createdAt,
    generation,
    stage: record.from === 'routed' ? 'send' : 'budget-reserve',
    attempt: record.from === 'routed' ? record.value.attempt : 0,
    at: record.at,
    origin,
    releaseNo,
    runId,
    startedAt,
  };
};

const readable = (
  record: Incomer,
  now: EpochMs,
): { readonly asked: PassRequest } | { readonly error: Error } => {
  try {
    const entry = reentryOf(record.headers);
    const generation = generationOf(record, entry.generation);
    if (generation !== entry.generation)
      throw new PipelineError(
        'undecidable',
        `the record is of generation ${String(generation)}, its header says ${String(entry.generation)}`,
      );
    const { messageId, createdAt } = requestOf(record);
    if (!UUID.test(messageId))
      throw new PipelineError(
        'undecidable',
        'messageId is not a UUID: such a request was never accepted',
      );
    if (createdAt < now - OLDEST_MS || createdAt > now + LIMITS.createdAheadMs)
      throw new PipelineError(
        'undecidable',
        'createdAt is over 62 days old or ahead of our clock: no topic of ours holds such a request',
      );
    return { asked: askedOf(record, entry) };
  } catch (thrown) {
    return { error: asError(thrown) };
  }
};

const mayPass = ({ kind }: PassAnswer): boolean => kind === 'pass' || kind === 'twin';

/** What dedupe would say of its content. Its age is no obstacle here, and route judges what has expired. */
const problemOf = (record: Incomer, now: EpochMs, config: ConfigTable): Refusal | null =>
  record.from === 'request'
    ? validateAgain(record.value, {
        now,
        size: record.size,
        lane: laneOf(record.at.topic),
        ownerOfTopic: null,
        tenants: tenantsOf(config),
        templates: templatesOf(config),
      })
    : null;

type Refused = Extract<ReentryFact, { readonly kind: 'asked' }> & { readonly problem: Refusal };
const isRefused = (fact: ReentryFact): fact is Refused =>
  fact.kind === 'asked' && fact.problem !== null;

/**
 * Lets records back in (exactly-once.md, "Coming back in"): each message once per generation, stage and release,
 * whatever was written to `again.*` and how often. What was done already emits nothing and is counted.
 */
export const comeBack = ({
  recipientHash,
}: {
  readonly recipientHash: RecipientHash;
}): Processor<ComeBack> => ({
  name: 'reentry',

  takeOver: (partitions, { passes }) => passes.takeOver(partitions),

  async gather(batch, { passes, reservations }, { now, tables }) {
    const read = batch.map((record) => readable(record, now));
    const requests = read.flatMap((one) => ('asked' in one ? [one.asked] : []));
    const answers = requests.length === 0 ? [] : await passes.admit(requests);
    let next = 0;
    const facts = batch.map((record, index): ReentryFact => {
      const one = read[index];
      if (one === undefined) throw new Error('each record of the batch is read');
      if ('error' in one) return { kind: 'unreadable', error: one.error };
      const answer = answers[next++];
      if (answer === undefined) throw new Error('fewer answers than passes asked for');
      const problem = mayPass(answer) ? problemOf(record, now, tables.config) : null;
      return { kind: 'asked', asked: one.asked, answer, problem };
    });
    const paid = await holders(reservations, facts.filter(isRefused), ({ asked }) => asked);
    return facts.map((fact) =>
      isRefused(fact) && paid.has(fact)
        ? { ...fact, problem: { ...fact.problem, settlement: VOID_WHATEVER } }
        : fact,
    );
  },

  decide(record, fact, { now }) {
    if (fact.kind === 'unreadable') throw fact.error;
    const { asked, answer, problem } = fact;
    const { generation } = asked;
    switch (answer.kind) {
      case 'pass':
      case 'twin':
        break;
      case 'passed':
      case 'reserved':
      case 'attempted':
        return { event: `already_${answer.kind}` };
      case 'detached':
        return { event: 'already_detached' };
      case 'unpaid':
        throw new PipelineError(
          'undecidable',
          `no budget is reserved for generation ${String(generation)}: it must come back at budget-reserve`,
        );
      case 'early':
        return { emit: [back(record)], event: 'early' };
    }
    const event = asked.releaseNo > 0 ? 'released' : 'let_in';
    if (record.from === 'routed')
      return { emit: [{ to: 'routed', key: keyOf(record), value: record.value }], event };
    const deduped = dedupedOf(record, generation, now);
    if (problem === null)
      return { emit: [{ to: 'deduped', key: deduped.key, value: deduped }], event };
    const source = { request: deduped.request, generation, at: record.at };
    const value = refused(source, problem, recipientHash, now);
    return { emit: [{ to: 'refused', key: deduped.key, value }], event };
  },
});

const keyOf = ({ key, value }: Incomer & { readonly from: 'routed' }): string =>
  key === null ? value.reserved.deduped.key : key.toString();

const dedupedOf = (record: Incomer, generation: number, now: EpochMs): MessageDeduped => {
  if (record.from !== 'request') return dedupedIn(record.value);
  const key = record.key === null ? record.value.messageId : record.key.toString();
  return { request: record.value, generation, key, dedupedAt: now };
};

/** To the end of its topic as it came: what is behind it need not wait for the index. */
const back = (record: Incomer): Emission => {
  const { headers } = record;
  switch (record.from) {
    case 'request':
      return { to: 'requestBack', value: record.value, headers };
    case 'deduped':
      return { to: 'dedupedBack', value: record.value, headers };
    case 'reserved':
      return { to: 'reservedBack', value: record.value, headers };
    case 'routed':
      return { to: 'routedBack', value: record.value, headers };
  }
};
