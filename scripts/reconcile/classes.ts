import type { BreakClass } from '../../sinks/postgres/reconciliation.js';

interface Words {
  /** What was found. */
  readonly means: string;
  /** What --apply books, or what a person does. */
  readonly action: string;
}

export const CLASSES: Readonly<Record<BreakClass, Words>> = {
  counter_pending: {
    means: 'pending of an account is not what its pending reservations add up to',
    action: '--apply sets it to the sum; available takes the difference',
  },
  counter_posted: {
    means: 'posted of an account is not what its reservations posted less what they paid back',
    action: '--apply sets it to the sum; available takes the difference',
  },
  counter_granted: {
    means: 'granted of an account is not what its journal adds up to',
    action: 'a person: which of the two is right, the journal cannot say (millrace budget history)',
  },
  reservation_unposted: {
    means: 'an attempt was paid for, its reservation is pending',
    action: '--apply posts it',
  },
  reservation_unvoided: {
    means: 'a message ended unpaid, its reservation is pending',
    action: '--apply voids it',
  },
  reservation_unreversed: {
    means: 'what was paid was paid back, its reservation is still posted',
    action: '--apply reverses it',
  },
  voided_but_posted: {
    means: 'an attempt was paid for, its reservation was voided',
    action: '--apply posts it, where the account still has as much',
  },
  posted_without_attempt: {
    means: 'a reservation is posted, and no attempt is known',
    action: 'a person: millrace trace; where the carrier did not send it, it is to be paid back',
  },
  attempt_without_reservation: {
    means: 'an attempt was paid for that nobody reserved',
    action: 'a person: millrace trace; the account was not charged',
  },
  posted_twice: {
    means: 'two attempts of a message were paid for, its reservation once',
    action: 'a person: claim one of them from the carrier, or bear it',
  },
  post_clamped: {
    means: 'an attempt cost more than was reserved; the account paid the reservation',
    action: 'a person: the price rose meanwhile; check it, and bear the difference',
  },
  amount_differs: {
    means: 'attempts and reservation differ in what was paid',
    action: 'a person: millrace trace',
  },
  pending_overdue: {
    means: 'money is pending for longer than a message can wait and a carrier can take to report',
    action: 'a person: millrace trace; age alone never says that it was not sent',
  },
  attempt_missing: {
    means: 'feedback tells of an attempt that is not stored',
    action: '--apply derives it from its feedback',
  },
  attempt_differs: {
    means: 'a stored attempt is not what its feedback says',
    action: '--apply derives it from its feedback again',
  },
  attempt_unheard: {
    means: 'an attempt is stored, and no feedback of it is in Kafka',
    action: 'a person: was feedback deleted or truncated?',
  },
  statement_duplicate: {
    means: 'the statement has the same id again',
    action: 'a person: claim it from the carrier',
  },
  statement_unknown: {
    means: 'the statement has an id that no attempt has',
    action: 'a person: ask the carrier whose message it was',
  },
  statement_currency: {
    means: 'the statement is in another currency than what was booked',
    action: 'a person: amounts of two currencies are not compared',
  },
  statement_amount: {
    means: 'the statement has another amount than was booked',
    action: 'a person: compare the price in channels.yaml with the contract',
  },
  statement_missing: {
    means: 'an attempt was paid for that the statement does not have',
    action: 'a person: the carrier may bill it later; its day may be in another time zone',
  },
};
