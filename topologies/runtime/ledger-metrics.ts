import { Gauge, type Registry } from 'prom-client';

/** As sinks/postgres answers them, with what each field means. */
interface Account {
  readonly tenantId: string;
  readonly businessLine: string;
  readonly currency: string;
}

interface Counters {
  readonly available: bigint;
  readonly pending: bigint;
  readonly posted: bigint;
}

interface Balance extends Account {
  readonly cash: Counters;
  readonly pv: Counters;
}

interface Burning extends Account {
  readonly cash: { readonly perHour: bigint };
  readonly pv: { readonly perHour: bigint };
}

interface Pending extends Account {
  readonly cashDrift: bigint;
  readonly pvDrift: bigint;
  readonly oldestSeconds: number | null;
}

interface Leased extends Account {
  readonly cashMicros: bigint;
  readonly units: bigint;
}

const ACCOUNT = ['tenant', 'line'] as const;
const STATES = ['available', 'pending', 'posted'] as const;

const of = ({ tenantId, businessLine }: Account): [string, string] => [tenantId, businessLine];

/**
 * The ledger in the worker's metrics, of the worker that does the chores (the others have none of these series). Money
 * is micros of the currency: a double is exact up to 2^53, nine thousand million units of it.
 */
export class LedgerMetrics {
  private readonly cash: Gauge<'tenant' | 'line' | 'currency' | 'state'>;
  private readonly pv: Gauge<'tenant' | 'line' | 'state'>;
  private readonly cashBurn: Gauge<'tenant' | 'line' | 'currency'>;
  private readonly pvBurn: Gauge<'tenant' | 'line'>;
  private readonly drift: Gauge<'tenant' | 'line' | 'budget'>;
  private readonly age: Gauge<'tenant' | 'line'>;
  private readonly lag: Gauge<'quantile'>;
  private readonly leasedCash: Gauge<'tenant' | 'line' | 'currency'>;
  private readonly leasedPv: Gauge<'tenant' | 'line'>;
  private readonly waiting: Gauge<'what'>;

  constructor(registry: Registry) {
    const gauge = <const L extends string>(
      name: string,
      help: string,
      labelNames: readonly L[],
    ): Gauge<L> => new Gauge({ name, help, labelNames: [...labelNames], registers: [registry] });
    this.cash = gauge('millrace_budget_cash_micros', 'Cash of an account.', [
      ...ACCOUNT,
      'currency',
      'state',
    ]);
    this.pv = gauge('millrace_budget_pv_units', 'PV of an account.', [...ACCOUNT, 'state']);
    this.cashBurn = gauge(
      'millrace_budget_cash_burn_micros_per_hour',
      'Cash spent in the last 5 minutes, by the hour: topk() of it are the top spenders.',
      [...ACCOUNT, 'currency'],
    );
    this.pvBurn = gauge(
      'millrace_budget_pv_burn_units_per_hour',
      'PV spent in the last 5 minutes, by the hour.',
      [...ACCOUNT],
    );
    this.drift = gauge(
      'millrace_ledger_drift',
      'Pending counter less the sum of pending reservations (micros, PV): anything but 0 is a defect.',
      [...ACCOUNT, 'budget'],
    );
    this.age = gauge(
      'millrace_ledger_pending_age_seconds',
      'Age of the oldest pending reservation; 0 where none is.',
      [...ACCOUNT],
    );
    this.lag = gauge(
      'millrace_ledger_settle_lag_seconds',
      'From reserve to resolution, of what was reserved in the last 5 minutes.',
      ['quantile'],
    );
    this.leasedCash = gauge(
      'millrace_budget_leased_cash_micros',
      'Cash of an account that leases hold and have not spent: part of pending.',
      [...ACCOUNT, 'currency'],
    );
    this.leasedPv = gauge('millrace_budget_leased_pv_units', 'The same in PV.', [...ACCOUNT]);
    this.waiting = gauge(
      'millrace_ledger_waiting',
      'What a person should look at: leases whose partition lost its state, spends and postings that wait for their other half for over 10 minutes.',
      ['what'],
    );
  }

  leases(health: {
    readonly accounts: readonly Leased[];
    readonly setAside: number;
    readonly waitingSpends: number;
    readonly waitingPostings: number;
  }): void {
    for (const one of health.accounts) {
      this.leasedCash.labels(...of(one), one.currency).set(Number(one.cashMicros));
      this.leasedPv.labels(...of(one)).set(Number(one.units));
    }
    this.waiting.labels('leases').set(health.setAside);
    this.waiting.labels('spends').set(health.waitingSpends);
    this.waiting.labels('postings').set(health.waitingPostings);
  }

  balances(balances: readonly Balance[]): void {
    for (const one of balances)
      for (const state of STATES) {
        this.cash.labels(...of(one), one.currency, state).set(Number(one.cash[state]));
        this.pv.labels(...of(one), state).set(Number(one.pv[state]));
      }
  }

  burns(burns: readonly Burning[]): void {
    for (const one of burns) {
      this.cashBurn.labels(...of(one), one.currency).set(Number(one.cash.perHour));
      this.pvBurn.labels(...of(one)).set(Number(one.pv.perHour));
    }
  }

  pending(accounts: readonly Pending[]): void {
    for (const one of accounts) {
      this.drift.labels(...of(one), 'cash').set(Number(one.cashDrift));
      this.drift.labels(...of(one), 'pv').set(Number(one.pvDrift));
      this.age.labels(...of(one)).set(one.oldestSeconds ?? 0);
    }
  }

  settleLag(lag: {
    readonly medianSeconds: number | null;
    readonly p99Seconds: number | null;
  }): void {
    this.lag.labels('0.5').set(lag.medianSeconds ?? 0);
    this.lag.labels('0.99').set(lag.p99Seconds ?? 0);
  }
}
