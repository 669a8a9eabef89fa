import { performance } from 'node:perf_hooks';
import { accountsPending } from '../../sinks/postgres/ledger-health.js';
import { postgresLedger } from '../../sinks/postgres/ledger.js';
import { freshDatabase } from '../../sinks/postgres/testing/fresh-database.js';
import { funded } from '../../sinks/postgres/testing/funded.js';
import { LeaseWorld } from '../../topologies/testing/lease-world.js';
import { seeded, zipf } from '../traffic/random.js';
import { round } from './figures.js';

export interface LeasesResult {
  /** Accounts with plenty: what leases save. */
  readonly ours: {
    readonly messagesPerSecond: number;
    /** All that Postgres was asked: grants, returns, settle, levels. */
    readonly statementsPer100000: number;
    readonly grants: number;
    readonly leasedPercent: number;
  };
  /** Accounts that run dry. */
  readonly dry: {
    readonly messagesPerSecond: number;
    readonly accounts: number;
    readonly offered: number;
    /** By the accounts' money. */
    readonly affordable: number;
    readonly reserved: number;
    readonly refused: number;
    readonly diverted: number;
    readonly leasedPercent: number;
    /** Messages that an account could have paid for and did not; that it paid for and could not. Both 0. */
    readonly short: number;
    readonly beyond: number;
    /** Accounts whose counters do not add up, or that are left with what buys a message: 0. */
    readonly wrongAccounts: number;
  };
}

export interface LeasesOptions {
  readonly messages: number;
  readonly tasks: number;
}

const BATCH = 500;
const SETTLE_BATCH = 2_000;
const PLENTY_ACCOUNTS = 50;
const DRY_ACCOUNTS = 100;
/** What a message of LeaseWorld costs. */
const PRICE = 2_000n;
const EVERY_MS = { tick: 1_000, look: 1_000, ask: 500 } as const;
const REST_MS = 60_000;

const lineOf = (account: number): string => `line-${String(account)}`;

/** Works until the logs are empty and nothing waits: tasks, settle, `accounts` and `again` side by side, as workers do. */
const runAll = async (world: LeaseWorld, tasks: number): Promise<number> => {
  const started = performance.now();
  let working = tasks;
  let lasted = 0;
  const task = async (partition: number): Promise<void> => {
    let ticked = 0;
    while (world.waiting(partition) > 0) {
      world.now = Date.now();
      const ticking = world.now - ticked >= EVERY_MS.tick;
      if (ticking) ticked = world.now;
      await world.work(partition, BATCH, 'commit', ticking);
    }
    working -= 1;
    if (working === 0) lasted = performance.now() - started;
    // Its leases go back as they fall idle, or as they are recalled.
    const end = Date.now() + REST_MS;
    while (!rested(world, tasks) && Date.now() < end) {
      world.now = Date.now();
      await world.work(partition, 0, 'commit', true);
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS.tick));
    }
  };
  const settling = async (): Promise<void> => {
    let resolved = 0;
    const end = (): boolean => rested(world, tasks) && working === 0;
    for (;;) {
      for (const one of world.reserved.slice(resolved))
        world.resolve(one, 'post', { cashMicros: one.cashMicros });
      resolved = world.reserved.length;
      if (world.unsettled >= SETTLE_BATCH || working === 0)
        await world.settle(SETTLE_BATCH / 2, SETTLE_BATCH / 2);
      if (end() && world.unsettled === 0) return;
      await new Promise((resolve) =>
        setTimeout(resolve, world.unsettled >= SETTLE_BATCH ? 0 : 200),
      );
    }
  };
  const chore = async (everyMs: number, run: () => Promise<void>): Promise<void> => {
    while (working > 0 || !rested(world, tasks)) {
      await run();
      await new Promise((resolve) => setTimeout(resolve, everyMs));
    }
  };
  await Promise.all([
    ...Array.from({ length: tasks }, (_, partition) => task(partition)),
    settling(),
    chore(EVERY_MS.look, () => world.look()),
    chore(EVERY_MS.ask, () => world.askAgain()),
  ]);
  return lasted / 1_000;
};

const rested = (world: LeaseWorld, tasks: number): boolean =>
  world.diverted.length === 0 &&
  Array.from({ length: tasks }, (_, partition) => world.waiting(partition)).every((n) => n === 0);

const percentLeased = ({ reserved }: LeaseWorld): number =>
  reserved.length === 0
    ? 0
    : round((reserved.filter(({ spend }) => spend !== null).length / reserved.length) * 100, 1);

/** Leased mode with the real stage and ledger; records are handed over in memory, so Kafka is no part of the figures. */
export const leasesBench = async (
  { messages, tasks }: LeasesOptions,
  say: (line: string) => void,
): Promise<LeasesResult> => {
  const database = await freshDatabase();
  try {
    const open = async (name: string, accounts: number, cash: (account: number) => bigint) => {
      const lines = Array.from({ length: accounts }, (_, account) => lineOf(account));
      const world = new LeaseWorld(database, name, { partitions: tasks, lines });
      for (const [account, businessLine] of lines.entries())
        await funded(database, {
          transferId: `${name}${businessLine}`,
          tenantId: world.tenant,
          businessLine,
          currency: 'CNY',
          cashMicros: cash(account),
          units: 10n ** 9n,
        });
      await world.begin();
      return world;
    };

    say(
      `${String(messages)} messages of ${String(PLENTY_ACCOUNTS)} accounts, ${String(tasks)} tasks`,
    );
    const plenty = await open('plenty-', PLENTY_ACCOUNTS, () => 10n ** 12n);
    const draw = zipf(PLENTY_ACCOUNTS, 1);
    const random = seeded(1);
    for (let number = 0; number < messages; number += 1)
      plenty.offer(number % tasks, lineOf(draw(random)), number);
    const before = plenty.statements;
    const seconds = await runAll(plenty, tasks);
    const statements = plenty.statements - before;

    say(`${String(DRY_ACCOUNTS)} accounts run dry`);
    // Each can pay for another number of messages, and has a little more that buys none.
    const affordable = (account: number): number => 100 + account * 17;
    const dry = await open(
      'dry-',
      DRY_ACCOUNTS,
      (account) => BigInt(affordable(account)) * PRICE + PRICE - 1n,
    );
    const wanted = Array.from({ length: DRY_ACCOUNTS }, (_, account) => affordable(account));
    const all = wanted.reduce((sum, one) => sum + one, 0);
    const perAccount = Math.ceil(Math.max(...wanted) * 1.25);
    let number = messages;
    for (let n = 0; n < perAccount; n += 1)
      for (let account = 0; account < DRY_ACCOUNTS; account += 1)
        dry.offer((number += 1) % tasks, lineOf(account), number);
    const drySeconds = await runAll(dry, tasks);

    const reservedOf = new Map<string, number>();
    for (const { message } of dry.reserved) {
      const line = message.request.businessLine;
      reservedOf.set(line, (reservedOf.get(line) ?? 0) + 1);
    }
    let short = 0;
    let beyond = 0;
    for (const [account, could] of wanted.entries()) {
      const did = reservedOf.get(lineOf(account)) ?? 0;
      short += Math.max(0, could - did);
      beyond += Math.max(0, did - could);
    }
    const drifts = await accountsPending(database);
    const balances = await postgresLedger(database).balances();
    const wrong = balances.filter(({ tenantId, businessLine, cash, pv }) => {
      const drift = drifts.find(
        (one) => one.tenantId === tenantId && one.businessLine === businessLine,
      );
      return (
        cash.granted !== cash.available + cash.pending + cash.posted ||
        pv.granted !== pv.available + pv.pending + pv.posted ||
        drift?.cashDrift !== 0n ||
        drift.pvDrift !== 0n
      );
    });
    return {
      ours: {
        messagesPerSecond: Math.round(messages / seconds),
        statementsPer100000: Math.round((statements / messages) * 100_000),
        grants: plenty.grants,
        leasedPercent: percentLeased(plenty),
      },
      dry: {
        messagesPerSecond: Math.round((perAccount * DRY_ACCOUNTS) / drySeconds),
        accounts: DRY_ACCOUNTS,
        offered: perAccount * DRY_ACCOUNTS,
        affordable: all,
        reserved: dry.reserved.length,
        refused: dry.refused.length,
        diverted: dry.divertedInAll,
        leasedPercent: percentLeased(dry),
        short,
        beyond,
        wrongAccounts: wrong.length,
      },
    };
  } finally {
    await database.drop();
  }
};
