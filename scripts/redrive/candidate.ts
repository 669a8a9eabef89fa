import { expiryOf } from '../../processors/expiry.js';
import type { EpochMs } from '../../schemas/brand.js';
import type { MessageDeduped, MessageRequest } from '../../schemas/generated/records.js';
import type { Recovery } from '../../sinks/postgres/recovery.js';
import type { Returning } from '../../topologies/reenter.js';
import type { Decoded } from '../read/decoded.js';
import type { Tally } from '../replay/figures.js';
import { messageOf } from '../replay/foresight.js';
import type { Selection } from '../replay/selection.js';
import type { Where } from '../replay/where.js';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** A record that could be redriven. */
export interface Candidate {
  /** As it was read: refused, a dead letter, or parked. */
  readonly read: Decoded;
  readonly back: Returning;
}

/** What is redriven although care would leave it. */
export interface Care {
  readonly tenant: string | null;
  readonly where: Where;
  /** null: what has expired stays. Else it gets so long from now, in milliseconds. */
  readonly expiresInMs: number | null;
  readonly includeAmbiguous: boolean;
  /** Under the next generation: then what was delivered since is left alone. Parked messages are still to be delivered. */
  readonly next: boolean;
}

const withRequest = (deduped: MessageDeduped, request: MessageRequest): MessageDeduped => ({
  ...deduped,
  request,
});

/** The record with a later time to live, wherever it carries one. */
const extended = (back: Returning, expiresAt: EpochMs): Returning => {
  const request = { ...messageOf(back).request, expiresAt };
  switch (back.stage) {
    case 'dedupe':
      return { ...back, value: request };
    case 'budget-reserve':
      return { ...back, value: withRequest(back.value, request) };
    case 'route':
      return {
        ...back,
        value: { ...back.value, deduped: withRequest(back.value.deduped, request) },
      };
    case 'send': {
      const { reserved } = back.value;
      const deduped = withRequest(reserved.deduped, request);
      return { ...back, value: { ...back.value, expiresAt, reserved: { ...reserved, deduped } } };
    }
  }
};

const expiresAt = (back: Returning): EpochMs =>
  back.stage === 'send' ? back.value.expiresAt : expiryOf(messageOf(back).request);

/** Leaves out, in this order, what is not asked for and what care forbids. */
export const careful = async (
  candidates: readonly Candidate[],
  stay: Tally,
  care: Care,
  recovery: Recovery,
  now: EpochMs,
): Promise<Selection> => {
  let unanswered: string | undefined;
  const asked: Returning[] = [];
  for (const { read, back } of candidates) {
    const { request } = messageOf(back);
    const record = read.decoded.is === 'Unreadable' ? null : read.decoded.value;
    const { at, key, timestamp } = read;
    const judgement = care.where({ at, key, timestamp, record, request });
    if (care.tenant !== null && request.tenantId !== care.tenant) stay.add('filtered');
    else if (judgement === 'no') stay.add('filtered');
    else if (judgement !== 'yes') {
      stay.add('unanswered');
      unanswered ??= judgement.unanswered;
    } else if (!UUID.test(request.messageId)) stay.add('unreadable');
    // Never before its time, whoever asks.
    else if ((request.notBefore ?? 0) > now) stay.add('notYet');
    else if (expiresAt(back) > now) asked.push(back);
    else if (care.expiresInMs === null) stay.add('expired');
    else asked.push(extended(back, now + care.expiresInMs));
  }
  const known = await recovery.since(
    asked.map((back) => {
      const { request, generation } = messageOf(back);
      const { tenantId, messageId, createdAt } = request;
      return { tenantId, messageId, createdAt, generation };
    }),
  );
  const returning = asked.filter((back, index) => {
    const since = known[index];
    const ambiguous = back.stage === 'send' && back.value.ambiguous;
    if (care.next && since?.delivered === true) stay.add('delivered');
    else if (!care.includeAmbiguous && (ambiguous || since?.uncertain === true))
      stay.add('ambiguous');
    else return true;
    return false;
  });
  return { returning, stay: stay.figures, ...(unanswered !== undefined && { unanswered }) };
};
