import { textArray } from './array-literal.js';
import { type CountersRow, cashOf, pvOf } from './counters.js';
import { jsonText } from './json-text.js';
import type { Database } from './pool.js';
import { shareOf } from './share.js';
import { sqlQuery } from './sql-files.js';
import type { AccountName } from './transfers.js';

/** Where a recharge stands; the last three are final. */
export const RECHARGE_STATES = [
  'review',
  'person',
  'approved',
  'rejected',
  'booked',
  'refused',
] as const;
export type RechargeState = (typeof RECHARGE_STATES)[number];

/** A proposal, as stored. */
export interface Recharge extends AccountName {
  /** Also the transfer's that books it. */
  readonly rechargeId: string;
  readonly rule: string;
  /** Of the cash; null: PV alone. */
  readonly currency: string | null;
  readonly cashMicros: bigint;
  readonly units: bigint;
  /** The rule's condition (when), and the values for which it held; money as text of micros. */
  readonly seen: Readonly<Record<string, unknown>>;
  readonly state: RechargeState;
  readonly proposedAt: Date;
  /** When a person was asked, until when an answer is expected, why the reviewer left it to one. */
  readonly askedAt: Date | null;
  readonly answerBy: Date | null;
  readonly askedBecause: string | null;
  /** Nobody had answered by then. */
  readonly escalatedAt: Date | null;
  readonly decidedAt: Date | null;
  readonly decidedBy: string | null;
  readonly reason: string | null;
  /** When it was booked, or refused by the ledger and as what. */
  readonly endedAt: Date | null;
  readonly refusal: string | null;
}

/** What is decided about one that is under review. */
export type Decision =
  | { readonly state: 'approved' | 'rejected'; readonly by: string; readonly reason: string }
  | { readonly state: 'person'; readonly because: string };

export interface NewRecharge {
  readonly rechargeId: string;
  readonly accountId: number;
  readonly seq: number;
  readonly rule: string;
  readonly cashMicros: bigint;
  readonly units: bigint;
  readonly currency: string | null;
  readonly seen: Readonly<Record<string, unknown>>;
  readonly decision: Decision | { readonly state: 'review' };
}

interface AccountRow extends CountersRow {
  readonly now: Date;
  readonly account_id: number;
  readonly tenant_id: string;
  readonly business_line: string;
  readonly cash_recharged_to: bigint | null;
  readonly pv_recharged_to: bigint | null;
  readonly seq: number;
}

interface PastRow {
  readonly account_id: number;
  readonly rule: string;
  readonly cash: bigint;
  readonly units: bigint;
  readonly proposed_at: Date;
  readonly state: 'undecided' | 'booked' | 'gone';
}

const SELECT = `select r.recharge_id as "rechargeId", a.tenant_id as "tenantId", a.business_line as "businessLine",
    r.currency, r.rule, r.cash as "cashMicros", r.units, r.seen, r.state, r.proposed_at as "proposedAt",
    r.asked_at as "askedAt", r.answer_by as "answerBy", r.asked_because as "askedBecause",
    r.escalated_at as "escalatedAt", r.decided_at as "decidedAt", r.decided_by as "decidedBy", r.reason,
    r.ended_at as "endedAt", r.refusal
  from recharges r join accounts a using (account_id)`;

/** The recharges that rules proposed (infra/migrations/008). All throw PipelineError postgres_*. */
export const postgresRecharges = (database: Database) => ({
  /** Open accounts of these tenants, and Postgres' time of that state; null: there are none. */
  async accounts(tenants: readonly string[]) {
    const rows = await database.query<AccountRow>(sqlQuery('recharge-accounts'), [
      textArray(tenants),
    ]);
    const [first] = rows;
    if (first === undefined) return null;
    return {
      now: first.now.getTime(),
      accounts: rows.map((row) => ({
        accountId: row.account_id,
        tenantId: row.tenant_id,
        businessLine: row.business_line,
        seq: row.seq,
        cash: {
          // Never recharged: no share of it is gone.
          share: shareOf(row.cash_available, row.cash_recharged_to) ?? 1,
          ...cashOf(row),
        },
        pv: {
          share: shareOf(row.pv_available, row.pv_recharged_to) ?? 1,
          ...pvOf(row),
        },
      })),
    };
  },

  /** Proposed since (ms since the epoch), or not over yet. */
  async past(since: number) {
    const rows = await database.query<PastRow>(sqlQuery('recharges-past'), [new Date(since)]);
    return rows.map((row) => ({
      accountId: row.account_id,
      rule: row.rule,
      cashMicros: row.cash,
      units: row.units,
      proposedAt: row.proposed_at.getTime(),
      state: row.state,
    }));
  },

  /**
   * answerWithinMs: of a person, where one is asked.
   * @returns false: the account's state was recharged already, by whoever was first
   */
  async propose(one: NewRecharge, answerWithinMs: number): Promise<boolean> {
    const { decision } = one;
    const decided = decision.state === 'approved' || decision.state === 'rejected';
    const rows = await database.query(
      {
        name: 'recharge-propose',
        text: `insert into recharges (recharge_id, account_id, seq, rule, cash, units, seen, state,
                 asked_at, answer_by, asked_because, decided_at, decided_by, reason, currency)
               values ($1, $2, $3, $4, $5, $6, $7, $8::text,
                 case when $8::text = 'person' then now() end,
                 case when $8::text = 'person' then now() + make_interval(secs => $9) end, $10::text,
                 case when $11::text is not null then now() end, $11::text, $12::text, $13)
               on conflict do nothing
               returning recharge_id`,
      },
      [
        one.rechargeId,
        one.accountId,
        one.seq,
        one.rule,
        one.cashMicros,
        one.units,
        jsonText(one.seen),
        decision.state,
        answerWithinMs / 1_000,
        decision.state === 'person' ? decision.because : null,
        decided ? decision.by : null,
        decided ? decision.reason : null,
        one.currency,
      ],
    );
    return rows.length > 0;
  },

  /** By state, oldest first. */
  async inState(states: readonly RechargeState[], atMost: number): Promise<readonly Recharge[]> {
    return database.query<Recharge>(
      {
        name: 'recharges-in-state',
        text: `${SELECT} where r.state = any ($1::text[]) order by r.proposed_at, r.recharge_id limit $2`,
      },
      [textArray(states), atMost],
    );
  },

  /** Newest first, whatever their state. */
  async archive(atMost: number): Promise<readonly Recharge[]> {
    return database.query<Recharge>(
      {
        name: 'recharges-archive',
        text: `${SELECT} order by r.proposed_at desc, r.recharge_id limit $1`,
      },
      [atMost],
    );
  },

  async find(rechargeId: string): Promise<Recharge | null> {
    const [found] = await database.query<Recharge>(
      { name: 'recharge-find', text: `${SELECT} where r.recharge_id = $1` },
      [rechargeId],
    );
    return found ?? null;
  },

  /** @returns false: it is in none of these states any more, and stays as it is */
  async decide(
    rechargeId: string,
    from: readonly ('review' | 'person')[],
    decision: Decision,
    answerWithinMs = 0,
  ): Promise<boolean> {
    const asksPerson = decision.state === 'person';
    const rows = await database.query(
      {
        name: 'recharge-decide',
        text: `update recharges
               set state = $3::text,
                 asked_at = case when $3::text = 'person' then now() else asked_at end,
                 answer_by = case when $3::text = 'person' then now() + make_interval(secs => $4) else answer_by end,
                 asked_because = coalesce($5::text, asked_because),
                 decided_at = case when $3::text <> 'person' then now() end, decided_by = $6::text, reason = $7::text
               where recharge_id = $1 and state = any ($2::text[])
               returning recharge_id`,
      },
      [
        rechargeId,
        textArray(from),
        decision.state,
        answerWithinMs / 1_000,
        asksPerson ? decision.because : null,
        asksPerson ? null : decision.by,
        asksPerson ? null : decision.reason,
      ],
    );
    return rows.length > 0;
  },

  /**
   * Books one that is approved, and writes down that it was, in one transaction.
   * @returns null: it is booked; else why the ledger refuses it for good, or its state, where it is not approved
   */
  async book(rechargeId: string): Promise<string | null> {
    const [row] = await database.query<{ outcome: string | null }>(
      { name: 'recharge-book', text: 'select book_recharge($1) as outcome' },
      [rechargeId],
    );
    const outcome = row?.outcome ?? 'unknown';
    return outcome === 'booked' ? null : outcome;
  },

  /** Marks those that a person should have answered by now. @returns each once */
  async escalate(): Promise<readonly string[]> {
    const rows = await database.query<{ recharge_id: string }>({
      name: 'recharge-escalate',
      text: `update recharges set escalated_at = now()
             where state = 'person' and answer_by < now() and escalated_at is null
             returning recharge_id`,
    });
    return rows.map(({ recharge_id: id }) => id);
  },

  /** How many wait, and for whom; overdue: of those that wait for a person. */
  async waiting(): Promise<{
    readonly review: number;
    readonly person: number;
    readonly overdue: number;
  }> {
    const [row] = await database.query<Record<'review' | 'person' | 'overdue', bigint>>({
      name: 'recharges-waiting',
      text: `select count(*) filter (where state = 'review') as review,
               count(*) filter (where state = 'person') as person,
               count(*) filter (where state = 'person' and answer_by < now()) as overdue
             from recharges where state in ('review', 'person')`,
    });
    return {
      review: Number(row?.review ?? 0),
      person: Number(row?.person ?? 0),
      overdue: Number(row?.overdue ?? 0),
    };
  },
});

export type PostgresRecharges = ReturnType<typeof postgresRecharges>;
