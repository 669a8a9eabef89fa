import type {
  MessageRefused,
  MessageRouted,
  RefusalReason,
} from '../../schemas/generated/records.js';
import type { ShadowDecision } from './decide.js';

/** What became of a message, or would. */
type End =
  | {
      readonly is: 'routed';
      readonly route: string;
      readonly cashMicros: bigint;
      readonly currency: string;
    }
  | { readonly is: 'refused'; readonly reason: RefusalReason };

/** Reasons that only the ledger knows: a shadow run has no ledger, so that what it refused then is left out. */
const OF_THE_LEDGER: ReadonlySet<RefusalReason> = new Set([
  'duplicate',
  'idempotency_conflict',
  'budget_cash',
  'budget_pv',
  'quota',
  'account_closed',
]);

export interface RouteChange {
  /** channel/provider, or refused: and why. */
  readonly from: string;
  readonly to: string;
  readonly count: number;
}

/** Cost of acceptance by currency, in micros: of every first route that was chosen. */
export interface Cost {
  readonly happened: bigint;
  readonly shadow: bigint;
  readonly difference: bigint;
}

export interface Difference {
  /** Messages of which both are known. */
  readonly compared: number;
  /** Of them, decided alike. */
  readonly same: number;
  /** Of which no decision was found: still under way, or older than what the topics hold. */
  readonly unknown: number;
  /** Refused by the ledger then: left out. */
  readonly ofTheLedger: number;
  /** Of the others, most first. */
  readonly changes: readonly RouteChange[];
  readonly refusals: {
    readonly happened: Readonly<Record<string, number>>;
    readonly shadow: Readonly<Record<string, number>>;
  };
  readonly cost: Readonly<Record<string, Cost>>;
}

const routedEnd = ({ channel, provider, priceMicros, reserved }: MessageRouted): End => ({
  is: 'routed',
  route: `${channel}/${provider}`,
  cashMicros: priceMicros,
  currency: reserved.currency,
});

const nameOf = (end: End): string => (end.is === 'routed' ? end.route : `refused: ${end.reason}`);

/** Compares decision by decision, whichever side is known first. */
export class Comparison {
  private readonly open = new Map<string, End>();
  private readonly changes = new Map<string, RouteChange>();
  private readonly refusals = {
    happened: {} as Record<string, number>,
    shadow: {} as Record<string, number>,
  };
  private readonly cost: Record<string, { happened: bigint; shadow: bigint }> = {};
  private compared = 0;
  private same = 0;
  private ofTheLedger = 0;

  /** Messages that are kept until what happened is known. */
  get size(): number {
    return this.open.size;
  }

  shadow(key: string, decision: ShadowDecision): void {
    this.open.set(
      key,
      decision.is === 'routed'
        ? routedEnd(decision.value)
        : { is: 'refused', reason: decision.value.reason },
    );
  }

  routed(key: string, value: MessageRouted): void {
    this.happened(key, routedEnd(value));
  }

  refused(key: string, { reason }: MessageRefused): void {
    if (OF_THE_LEDGER.has(reason)) {
      if (this.open.delete(key)) this.ofTheLedger += 1;
    } else this.happened(key, { is: 'refused', reason });
  }

  private happened(key: string, then: End): void {
    const shadow = this.open.get(key);
    if (shadow === undefined || !this.open.delete(key)) return;
    this.compared += 1;
    this.add('happened', then);
    this.add('shadow', shadow);
    const [from, to] = [nameOf(then), nameOf(shadow)];
    if (from === to) {
      this.same += 1;
      return;
    }
    const id = `${from} ${to}`;
    this.changes.set(id, { from, to, count: (this.changes.get(id)?.count ?? 0) + 1 });
  }

  private add(side: 'happened' | 'shadow', end: End): void {
    if (end.is === 'refused') {
      const reasons = this.refusals[side];
      reasons[end.reason] = (reasons[end.reason] ?? 0) + 1;
      return;
    }
    const cost = (this.cost[end.currency] ??= { happened: 0n, shadow: 0n });
    cost[side] += end.cashMicros;
  }

  get difference(): Difference {
    const { compared, same, ofTheLedger, refusals } = this;
    return {
      compared,
      same,
      ofTheLedger,
      unknown: this.open.size,
      changes: [...this.changes.values()].sort((a, b) => b.count - a.count),
      refusals,
      cost: Object.fromEntries(
        Object.entries(this.cost).map(([currency, { happened, shadow }]) => [
          currency,
          { happened, shadow, difference: shadow - happened },
        ]),
      ),
    };
  }
}
