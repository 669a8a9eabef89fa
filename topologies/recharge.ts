import { type ConfigTable, rechargeOf } from '../processors/configuration.js';
import {
  type AccountSeen,
  type HeldBack,
  type Recharges,
  recharges as decisions,
} from '../processors/recharge/recharge.js';
import type { RechargeConfig } from '../schemas/config.js';
import type { AccountBurn } from '../sinks/postgres/burn.js';
import type { Decision, PostgresRecharges, Recharge } from '../sinks/postgres/recharges.js';
import type { Chore } from './runtime/chores.js';
import type { Logger } from './runtime/log.js';

const EVERY_MS = 10_000;
/** Proposals of a review or a booking at once; what is beyond waits for the next round. */
const AT_ONCE = 200;
/** Reviewers asked at once: each may take its whole deadline. */
const ASKED_AT_ONCE = 16;
const HOUR_MS = 3_600_000;
/** A calendar day has at most 25 hours. */
const DAY_MS = 25 * HOUR_MS;

export type RechargeGauge =
  'review' | 'person' | 'overdue' | 'undecided' | 'cool_down' | 'daily_cap' | 'failing';

export interface RechargePorts {
  /** As published; undefined: not read yet. */
  readonly config: () => ConfigTable | undefined;
  readonly recharges: PostgresRecharges;
  /** What was spent since. */
  readonly burns: (since: Date) => Promise<readonly AccountBurn[]>;
  /** Of the configuration's review.http. */
  readonly reviewer: (http: NonNullable<RechargeConfig['review']['http']>) => {
    readonly review: (one: Recharge) => Promise<Decision>;
    readonly close: () => Promise<void>;
  };
  readonly log: Pick<Logger, 'warn' | 'info'>;
  /** What waits for whom, and which rules hold and may not recharge. */
  readonly gauge: (what: RechargeGauge, count: number) => void;
}

/**
 * One round of the recharge rules: propose, have reviewed, book, escalate. Each step is stored before the next one, and
 * finds what a round before left undone, so that a crash between two of them costs a round and books nothing twice.
 */
export const rechargeRound = async (ports: RechargePorts, signal: AbortSignal): Promise<void> => {
  const table = ports.config();
  if (table === undefined) return;
  // Not published yet, by a release before: there are no rules.
  const config = table.get('recharge/all') === undefined ? null : rechargeOf(table);
  if (config !== null) {
    await propose(config, ports);
    await review(config, ports, signal);
  }
  for (const one of await ports.recharges.inState(['approved'], AT_ONCE)) {
    if (signal.aborted) return;
    await book(one, ports);
  }
  for (const id of await ports.recharges.escalate())
    ports.log.warn({ recharge: id }, 'a recharge waits for a person, and nobody answered in time');
  const { review: reviewing, person, overdue } = await ports.recharges.waiting();
  ports.gauge('review', reviewing);
  ports.gauge('person', person);
  ports.gauge('overdue', overdue);
};

/** A configuration's conditions are compiled once. */
const compiled = new WeakMap<RechargeConfig, Recharges>();

const decisionsOf = (config: RechargeConfig): Recharges => {
  const known = compiled.get(config);
  if (known !== undefined) return known;
  const made = decisions(config);
  compiled.set(config, made);
  return made;
};

const propose = async (config: RechargeConfig, ports: RechargePorts): Promise<void> => {
  const { recharges } = ports;
  const decide = decisionsOf(config);
  const tenants = [...new Set(config.rules.map(({ tenant }) => tenant))];
  // The accounts first: what is proposed after this is a number that is taken, never one that is overlooked.
  const found = tenants.length === 0 ? null : await recharges.accounts(tenants);
  const heldBack: HeldBack[] = [];
  if (found !== null) {
    const { now } = found;
    const longest = Math.max(DAY_MS, ...config.rules.map(({ coolDownMs }) => coolDownMs));
    const past = await recharges.past(now - longest);
    const accounts = await withBurn(config, now, found.accounts, ports);
    const proposed = decide(now, accounts, past);
    heldBack.push(...proposed.heldBack);
    for (const one of proposed.proposals) {
      const isNew = await recharges.propose(one, config.review.answerWithinMs);
      const { rechargeId: recharge, rule, decision } = one;
      if (isNew) ports.log.info({ recharge, rule, state: decision.state }, 'recharge proposed');
    }
  }
  for (const { rule, account, why, detail } of heldBack)
    if (why === 'failing')
      ports.log.warn({ rule, account, detail }, 'a recharge rule has no answer');
  for (const why of ['undecided', 'cool_down', 'daily_cap', 'failing'] as const)
    ports.gauge(why, heldBack.filter((one) => one.why === why).length);
};

type Unburnt = Omit<AccountSeen, 'cash' | 'pv'> & {
  readonly [K in 'cash' | 'pv']: Omit<AccountSeen[K], 'perHour'>;
};

/** Reads what was spent only where a rule may ask: it is a scan of the window's reservations. */
const withBurn = async (
  { rules, review: { rules: reviews }, burnWindowMs }: RechargeConfig,
  now: number,
  accounts: readonly Unburnt[],
  { burns }: RechargePorts,
): Promise<readonly AccountSeen[]> => {
  const asks = [...rules, ...reviews].some(({ when }) => when.includes('perHour'));
  const found = asks ? await burns(new Date(now - burnWindowMs)) : [];
  const byName = new Map(found.map((one) => [`${one.tenantId}/${one.businessLine}`, one] as const));
  return accounts.map((account) => {
    const burn = byName.get(`${account.tenantId}/${account.businessLine}`);
    return {
      ...account,
      cash: { ...account.cash, perHour: burn?.cash.perHour ?? 0n },
      pv: { ...account.pv, perHour: burn?.pv.perHour ?? 0n },
    };
  });
};

const review = async (
  { review: { http, answerWithinMs } }: RechargeConfig,
  { recharges, reviewer, log }: RechargePorts,
  signal: AbortSignal,
): Promise<void> => {
  const waiting = await recharges.inState(['review'], ASKED_AT_ONCE);
  if (waiting.length === 0 || signal.aborted) return;
  const asked = http === undefined ? null : reviewer(http);
  const decide = async (one: Recharge): Promise<void> => {
    const decision: Decision =
      asked === null
        ? { state: 'person', because: 'no reviewer is configured any more' }
        : await asked.review(one);
    // A person, or another worker's reviewer, may have been faster.
    const decided = await recharges.decide(one.rechargeId, ['review'], decision, answerWithinMs);
    const { rechargeId: recharge } = one;
    if (decided) log.info({ recharge, state: decision.state }, 'recharge reviewed');
  };
  try {
    await Promise.all(waiting.map(decide));
  } finally {
    await asked?.close();
  }
};

const book = async (one: Recharge, { recharges, log }: RechargePorts): Promise<void> => {
  const { rechargeId: recharge, rule } = one;
  const refusal = await recharges.book(recharge);
  if (refusal === null) log.info({ recharge, rule }, 'recharge booked');
  else log.warn({ recharge, rule, refusal }, 'the ledger refuses a recharge');
};

/** The rules, as a chore. */
export const rechargeByRules = (ports: RechargePorts): Chore => ({
  name: 'recharge',
  everyMs: EVERY_MS,
  run: (signal) => rechargeRound(ports, signal),
});
