import type {
  DeliveryState,
  FailureClass,
  ProviderReceipt,
  Settlement,
} from '../../schemas/generated/records.js';
import type { AttemptRow } from './receipt-log.js';

/** What a report changes. money: what happens to the reservation. */
export interface Transition {
  readonly state: DeliveryState;
  readonly class: FailureClass | null;
  readonly terminal: boolean;
  readonly money: Settlement['kind'];
  /** It ends a held attempt: its record in internal.unknown may go. */
  readonly resolves: boolean;
}

/** How the attempt's provider bills, and whether its acceptance is final. */
export interface Billing {
  readonly onDelivery: boolean;
  readonly receipts: boolean;
}

/**
 * What a report means for an attempt in its present state; null: nothing that was not known. Reports are not
 * monotonic: a delivered message may bounce later.
 */
export const transitionOf = (
  attempt: Pick<AttemptRow, 'state' | 'terminal'>,
  report: Pick<ProviderReceipt, 'state' | 'class'>,
  billing: Billing,
): Transition | null => {
  if (attempt.state === report.state) return null;
  switch (attempt.state) {
    case 'held':
      return fromHeld(report, billing);
    case 'accepted':
    case 'delivered':
      return afterAcceptance(attempt.state, report, billing);
    case 'failed':
    case 'unknown':
      // Its money is settled, or with the next try. A delivery that comes after all is worth telling.
      return report.state === 'delivered' || report.state === 'accepted'
        ? {
            state: report.state,
            class: null,
            terminal: attempt.terminal,
            money: 'none',
            resolves: false,
          }
        : null;
  }
};

/** Whether a report of `to` changes an attempt in `from`; Postgres' takes_effect() says the same. */
export const takesEffect = (from: DeliveryState, to: DeliveryState): boolean =>
  transitionOf(
    { state: from, terminal: false },
    { state: to, class: null },
    { onDelivery: false, receipts: true },
  ) !== null;

const fromHeld = (
  report: Pick<ProviderReceipt, 'state' | 'class'>,
  billing: Billing,
): Transition | null => {
  switch (report.state) {
    case 'delivered':
      return { state: 'delivered', class: null, terminal: true, money: 'post', resolves: true };
    case 'accepted':
      return {
        state: 'accepted',
        class: null,
        terminal: !billing.receipts,
        money: 'post',
        resolves: true,
      };
    case 'failed':
      return {
        state: 'failed',
        class: report.class,
        terminal: true,
        money: 'void',
        resolves: true,
      };
    case 'unknown':
      // The horizon, or a person: nobody will ever say. The provider's terms decide who pays.
      return {
        state: 'unknown',
        class: report.class ?? 'unknown',
        terminal: true,
        money: billing.onDelivery ? 'void' : 'post',
        resolves: true,
      };
    case 'held':
      return null;
  }
};

const afterAcceptance = (
  from: 'accepted' | 'delivered',
  report: Pick<ProviderReceipt, 'state' | 'class'>,
  billing: Billing,
): Transition | null => {
  switch (report.state) {
    case 'delivered':
      return { state: 'delivered', class: null, terminal: true, money: 'none', resolves: false };
    case 'failed':
      return {
        state: 'failed',
        class: report.class,
        terminal: true,
        money: billing.onDelivery ? 'reverse' : 'none',
        resolves: false,
      };
    case 'unknown':
      // The horizon passed without a report: nothing more will be heard. What was accepted stays paid for.
      return from === 'accepted'
        ? {
            state: 'unknown',
            class: report.class ?? 'unknown',
            terminal: true,
            money: 'none',
            resolves: false,
          }
        : null;
    case 'accepted':
    case 'held':
      return null;
  }
};
