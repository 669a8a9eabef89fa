import type { Recharge } from '../../sinks/postgres/recharges.js';
import { sumText } from '../budget/amounts.js';

/** 500.00 CNY and 1000 PV, or one of them. */
export const amountText = ({ cashMicros, units, currency }: Recharge): string =>
  sumText({ cashMicros, units, currency });

/** Where it stands, and by whom. now: what is overdue is so by the caller's clock. */
export const standingText = (one: Recharge, now: Date): string => {
  switch (one.state) {
    case 'review':
      return 'the reviewer is asked';
    case 'person':
      return one.answerBy !== null && one.answerBy < now
        ? `OVERDUE since ${one.answerBy.toISOString().slice(0, 19)}Z`
        : 'a person is asked';
    case 'approved':
      return `approved by ${one.decidedBy ?? ''}, to be booked`;
    case 'rejected':
      return `rejected by ${one.decidedBy ?? ''}`;
    case 'booked':
      return `booked, approved by ${one.decidedBy ?? ''}`;
    case 'refused':
      return `approved by ${one.decidedBy ?? ''}, refused by the ledger: ${one.refusal ?? ''}`;
  }
};
