import { v7 } from 'uuid';
import { messageId } from '../../schemas/brand.js';
import type { Lane, MessageRequest } from '../../schemas/generated/records.js';
import { arrivals } from './arrivals.js';
import type { Catalog } from './catalog.js';
import type { Malformation, Planned, PlannedKind } from './planned.js';
import type { Random } from './random.js';
import { seeded, zipf } from './random.js';
import { FLAWS, contradicting, deliverable, inFuture, withoutAddress } from './requests.js';

/** Shares of all records that are not plainly deliverable. */
export const REALISTIC: Readonly<Record<Exclude<PlannedKind, 'deliverable'>, number>> = {
  duplicate: 0.01,
  conflict: 0.001,
  malformed: 0.005,
  invalid: 0.005,
  unaffordable: 0.01,
  no_address: 0.002,
  future: 0.003,
};
export type Shares = typeof REALISTIC;

/** Nothing wrong with any record. */
export const CLEAN: Shares = {
  duplicate: 0,
  conflict: 0,
  malformed: 0,
  invalid: 0,
  unaffordable: 0,
  no_address: 0,
  future: 0,
};

export interface TrafficOptions {
  readonly seed: number;
  /** Records in all: duplicates, malformed and refused ones included. */
  readonly messages: number;
  /** Time of the first, ms since the epoch; requests' createdAt follow from it. */
  readonly startAt: number;
  /** Over which the records arrive, ms. */
  readonly durationMs: number;
  readonly catalog: Catalog;
  /** Default REALISTIC. */
  readonly shares?: Shares;
  /** What leases paid for is repeated where it first went; default: also on other lanes and partitions. */
  readonly leasedStay?: true;
  /** Only this lane; default p0 10 %, p1 20 %, p2 30 %, p3 40 %. */
  readonly lane?: Lane;
}

const LANE_SHARES: readonly (readonly [Lane, number])[] = [
  ['p0', 0.1],
  ['p1', 0.2],
  ['p2', 0.3],
  ['p3', 0.4],
];
const RECIPIENTS = 20_000;
const ZIPF_EXPONENT = 0.9;
const MALFORMATIONS: readonly Malformation[] = [
  'not_framed',
  'unknown_schema',
  'truncated',
  'tombstone',
];

interface Original {
  readonly lane: Lane;
  /** Others that its tenant may use. */
  readonly lanes: readonly Lane[];
  readonly request: MessageRequest;
  /** Repeats go where it went. */
  readonly stays: boolean;
}

/** A message id and another's idempotency key never meet: only a key of its own can be contradicted. */
const hasKey = ({ request }: Original): boolean => request.idempotencyKey !== null;

/** How far back a duplicate's original lies at most, in records: producers repeat what they just sent. */
const MEMORY = 500;

const laneOf = (random: Random): Lane => {
  let left = random.next();
  for (const [lane, share] of LANE_SHARES) {
    if (left < share) return lane;
    left -= share;
  }
  return 'p3';
};

const kindOf = (random: Random, shares: Shares): PlannedKind => {
  let left = random.next();
  for (const [kind, share] of Object.entries(shares) as [keyof Shares, number][]) {
    if (left < share) return kind;
    left -= share;
  }
  return 'deliverable';
};

/**
 * Realistic traffic, in order of arrival. Deterministic: the same seed, messages and catalog give the same kinds in
 * the same order (ids and times follow startAt).
 * Duplicates and conflicts always repeat a deliverable record, never one that is refused and so frees its key.
 */
export function* generate(options: TrafficOptions): Generator<Planned> {
  const { seed, messages, startAt, durationMs, catalog, shares = REALISTIC } = options;
  const random = seeded(seed);
  const rankOf = zipf(RECIPIENTS, ZIPF_EXPONENT);
  const offsets = arrivals(messages, durationMs);
  const originals: Original[] = [];

  for (let index = 0; index < messages; index++) {
    const at = offsets[index] ?? 0;
    const createdAt = startAt + at;
    const lane = options.lane ?? laneOf(random);
    const wanted = kindOf(random, shares);
    const kind = possible(wanted, catalog, lane, originals) ? wanted : 'deliverable';
    const account = random.pick(
      (kind === 'unaffordable' ? catalog.unfunded : catalog.funded).filter(({ lanes }) =>
        lanes.includes(lane),
      ),
    );
    const fresh = deliverable(random, catalog, account, lane, rankOf(random), createdAt);
    const planned = (
      request: MessageRequest,
      more: Partial<Pick<Planned, 'lane' | 'reason' | 'key'>> = {},
    ): Planned => ({
      lane,
      key: request.recipient.userId,
      payload: { form: 'request', request },
      kind,
      reason: null,
      at,
      ...more,
    });

    switch (kind) {
      case 'deliverable': {
        yield planned(fresh);
        const stays = options.leasedStay === true && account.leased;
        originals.push({ lane, lanes: account.lanes, request: fresh, stays });
        if (originals.length > MEMORY) originals.shift();
        break;
      }
      case 'duplicate':
      case 'conflict': {
        const original = random.pick(kind === 'conflict' ? originals.filter(hasKey) : originals);
        // Once each: a third copy could be compared with either of the first two.
        originals.splice(originals.indexOf(original), 1);
        yield again(random, kind, original, planned, options.lane, createdAt);
        break;
      }
      case 'malformed': {
        const how = random.pick(MALFORMATIONS);
        yield { ...planned(fresh), payload: { form: 'malformed', how, request: fresh } };
        break;
      }
      case 'invalid': {
        const flaw = random.pick(FLAWS);
        yield planned(flaw.on(fresh), { reason: flaw.reason });
        break;
      }
      case 'unaffordable':
        yield planned(
          { ...fresh, channels: [...catalog.phoneChannels] },
          { reason: account.lacks === 'units' ? 'budget_pv' : 'budget_cash' },
        );
        break;
      case 'no_address':
        yield planned(withoutAddress(fresh, catalog), { reason: 'no_address' });
        break;
      case 'future':
        yield planned(inFuture(fresh, random));
        break;
    }
  }
}

/** Whether a catalog has what a kind needs. */
const possible = (
  kind: PlannedKind,
  catalog: Catalog,
  lane: Lane,
  originals: readonly Original[],
): boolean => {
  switch (kind) {
    case 'unaffordable':
      return (
        catalog.unfunded.some(({ lanes }) => lanes.includes(lane)) &&
        catalog.phoneChannels.length > 0
      );
    case 'no_address':
      return catalog.phoneChannels.length > 0;
    case 'duplicate':
      return originals.length > 0;
    case 'conflict':
      return originals.some(hasKey);
    case 'deliverable':
    case 'malformed':
    case 'invalid':
    case 'future':
      return true;
  }
};

/** Most repeat where the first went; some come by another lane or under another key, so on another partition. */
const again = (
  random: Random,
  kind: 'duplicate' | 'conflict',
  original: Original,
  planned: (
    request: MessageRequest,
    more?: Partial<Pick<Planned, 'lane' | 'reason' | 'key'>>,
  ) => Planned,
  onlyLane: Lane | undefined,
  createdAt: number,
): Planned => {
  const { lanes, stays } = original;
  const elsewhere = random.chance(0.3) ? random.pick(lanes) : original.lane;
  const lane = onlyLane ?? (stays ? original.lane : elsewhere);
  const other = random.chance(0.3) ? `other-${random.int(1_000)}` : null;
  const key = other === null || stays ? original.request.recipient.userId : other;
  if (kind === 'duplicate') return planned(original.request, { lane, key });
  const id = messageId(v7({ msecs: Math.floor(createdAt), random: random.bytes(16) }));
  return planned(contradicting(original.request, id), { lane, key });
};
