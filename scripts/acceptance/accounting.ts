import { expect } from 'vitest';
import type { MessageRequest } from '../../schemas/generated/records.js';
import { type LedgerTotals, postgresLedger } from '../../sinks/postgres/ledger.js';
import type { Installation } from '../installation/installation.js';
import { until } from '../installation/until.js';
import type { Outcomes } from './outcomes.js';

/** Micros that one message costs on each channel of the acceptance configuration. */
const PRICES: Readonly<Record<string, bigint>> = {
  app_push: 2_000n,
  sms: 45_000n,
  webhook: 1_000n,
  email: 3_000n,
};

const SETTLE_DEADLINE_MS = 30_000;

/** How messages ended, each counted once. */
export interface Ends {
  readonly accepted: readonly MessageRequest[];
  readonly held: readonly MessageRequest[];
  readonly refused: readonly MessageRequest[];
  readonly open: readonly MessageRequest[];
}

/** The end of each of these messages, by what is in feedback and refused. */
export const endsOf = (outcomes: Outcomes, requests: readonly MessageRequest[]): Ends => {
  const accepted = new Set<string>();
  const held = new Set<string>();
  for (const { value } of outcomes.feedback) {
    if (value.terminal) accepted.add(value.messageId);
    else if (value.state === 'held') held.add(value.messageId);
  }
  const refused = new Set(outcomes.refused.map(({ value }) => value.messageId));
  const ends = { accepted: [], held: [], refused: [], open: [] } as Record<
    keyof Ends,
    MessageRequest[]
  >;
  for (const request of requests) {
    const id = request.messageId;
    const end = accepted.has(id)
      ? 'accepted'
      : refused.has(id)
        ? 'refused'
        : held.has(id)
          ? 'held'
          : 'open';
    ends[end].push(request);
  }
  return ends;
};

/** Nothing is said twice: each event once, each message's end once. */
export const expectSaidOnce = (feedback: Outcomes['feedback']): void => {
  const events = feedback.map(({ value }) => value.feedbackId);
  expect(new Set(events).size).toBe(events.length);
  const ended = feedback.flatMap(({ value }) => (value.terminal ? [value.messageId] : []));
  expect(new Set(ended).size).toBe(ended.length);
};

const costOf = (requests: readonly MessageRequest[]): bigint =>
  requests.reduce((sum, { channels }) => sum + (PRICES[channels[0] ?? ''] ?? 0n), 0n);

/** The ledger says what the ends say, to the micro: posted for what was accepted, pending for what is held. */
export const expectLedger = async (installation: Installation, ends: Ends): Promise<void> => {
  const ledger = postgresLedger(installation.database);
  const said = {
    cash: { pending: costOf(ends.held), posted: costOf(ends.accepted) },
    pv: { pending: BigInt(ends.held.length), posted: BigInt(ends.accepted.length) },
  };
  const matches = ({ cash, pv }: LedgerTotals): boolean => {
    const cny = cash.get('CNY');
    return (
      cny?.pending === said.cash.pending &&
      cny.posted === said.cash.posted &&
      pv.pending === said.pv.pending &&
      pv.posted === said.pv.posted
    );
  };
  // settle follows feedback; what differs after that is compared below, for its figures.
  await until('settle', SETTLE_DEADLINE_MS, async () => matches(await ledger.totals())).catch(
    () => undefined,
  );
  const { cash, pv } = await ledger.totals();
  const cny = cash.get('CNY');
  if (cny === undefined) throw new Error('no account in CNY');
  expect({ cash: cny, pv }).toMatchObject(said);
  for (const { granted, available, pending, posted } of [cny, pv])
    expect(available + pending + posted).toBe(granted);
};
