import type { ChannelWindow, DeliveryFeedback } from '../../schemas/generated/records.js';

const NUMBERS = [
  'attempts',
  'messages',
  'accepted',
  'delivered',
  'failedRecipient',
  'failedContent',
  'failedAccount',
  'failedProvider',
  'throttled',
  'timeout',
  'unknown',
  'reversed',
  'units',
] as const satisfies readonly (keyof ChannelWindow)[];

type Numbers = Record<(typeof NUMBERS)[number], number>;

/** What a window counts, as in ChannelWindow; costMicros is posted minus reversed. */
export interface Counts extends Numbers {
  costMicros: bigint;
}

export const noCounts = (): Counts => ({
  attempts: 0,
  messages: 0,
  accepted: 0,
  delivered: 0,
  failedRecipient: 0,
  failedContent: 0,
  failedAccount: 0,
  failedProvider: 0,
  throttled: 0,
  timeout: 0,
  unknown: 0,
  reversed: 0,
  units: 0,
  costMicros: 0n,
});

/** Counts as text, for state that is written many times a second. */
export const packCounts = (counts: Readonly<Counts>): string => {
  let text = counts.costMicros.toString();
  for (const name of NUMBERS) text += `,${counts[name]}`;
  return text;
};

export const openCounts = (text: string): Counts => {
  const [cost = '0', ...numbers] = text.split(',');
  const counts = noCounts();
  counts.costMicros = BigInt(cost);
  for (const [index, name] of NUMBERS.entries()) counts[name] = Number(numbers[index]);
  return counts;
};

export const addCounts = (into: Counts, more: Readonly<Counts>): void => {
  for (const name of NUMBERS) into[name] += more[name];
  into.costMicros += more.costMicros;
};

/** Some count of `a` is below that of `b`. Money may fall by what was paid back, and only by that. */
export const isLess = (a: Readonly<Counts>, b: Readonly<Counts>): boolean =>
  NUMBERS.some((name) => name !== 'units' && a[name] < b[name]) ||
  (a.reversed === b.reversed && (a.units < b.units || a.costMicros < b.costMicros));

/**
 * The feedback is the outcome of an attempt of ours. Later changes of the same attempt (receipt, query, horizon)
 * count on in `sequence`, so that only the first has sequence = attempt. What ran out of time before the provider
 * was asked is nobody's attempt.
 */
export const isOutcome = (feedback: DeliveryFeedback): boolean =>
  feedback.attempt > 0 && feedback.sequence === feedback.attempt && feedback.class !== 'expired';

/** It changes some count: without an attempt and without money there is nothing to count. */
export const isCounted = (feedback: DeliveryFeedback): boolean =>
  feedback.attempt > 0 || movesMoney(feedback);

const movesMoney = ({ settlement }: DeliveryFeedback): boolean =>
  settlement.kind === 'post' || settlement.kind === 'reverse';

/** Adds one feedback to the counts. The table in docs/analysts.md says the same in words. */
export const countFeedback = (counts: Counts, feedback: DeliveryFeedback): void => {
  if (isOutcome(feedback)) countOutcome(counts, feedback);
  else if (feedback.attempt > 0) countChange(counts, feedback);
  countMoney(counts, feedback);
};

const countOutcome = (counts: Counts, feedback: DeliveryFeedback): void => {
  counts.attempts += 1;
  if (feedback.attempt === 1) counts.messages += 1;
  switch (feedback.state) {
    case 'accepted':
      counts.accepted += 1;
      return;
    case 'delivered':
      // Its answer was the delivery: it took the message and delivered it.
      counts.accepted += 1;
      counts.delivered += 1;
      return;
    case 'failed':
    case 'held':
    case 'unknown':
      countFailure(counts, feedback);
  }
};

const countChange = (counts: Counts, feedback: DeliveryFeedback): void => {
  switch (feedback.state) {
    case 'accepted':
      counts.accepted += 1;
      return;
    case 'delivered':
      counts.delivered += 1;
      return;
    case 'unknown':
      // The horizon passed. A time-out was counted when it happened, and would count twice.
      counts.unknown += 1;
      return;
    case 'failed':
      countFailure(counts, feedback);
      return;
    case 'held':
      return;
  }
};

const countFailure = (counts: Counts, feedback: DeliveryFeedback): void => {
  switch (feedback.class) {
    case 'recipient':
      counts.failedRecipient += 1;
      return;
    case 'content':
      counts.failedContent += 1;
      return;
    case 'account':
      counts.failedAccount += 1;
      return;
    case 'provider':
      counts.failedProvider += 1;
      return;
    case 'throttled':
      counts.throttled += 1;
      return;
    case 'timeout':
      counts.timeout += 1;
      return;
    case 'unknown':
    case null:
      counts.unknown += 1;
      return;
    case 'expired':
      return;
  }
};

const countMoney = (counts: Counts, { settlement }: DeliveryFeedback): void => {
  switch (settlement.kind) {
    case 'post':
      counts.costMicros += settlement.cashMicros;
      counts.units += settlement.units;
      return;
    case 'reverse':
      counts.costMicros -= settlement.cashMicros;
      counts.units -= settlement.units;
      counts.reversed += 1;
      return;
    case 'none':
    case 'void':
      return;
  }
};
