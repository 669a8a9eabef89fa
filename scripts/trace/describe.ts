import { dedupedIn } from '../../processors/carried.js';
import { decimalOf } from '../../schemas/config.js';
import type {
  DeliveryFeedback,
  MessageRequest,
  MessageRouted,
  Settlement,
} from '../../schemas/generated/records.js';
import { DEAD_LETTER_HEADERS } from '../../topologies/runtime/dead-letters.js';
import type { Decoded, DecodedValue } from '../read/decoded.js';
import type { TraceEvent } from './events.js';

/** Who a record is about; null where it names no message. */
export const messageOf = (
  decoded: DecodedValue,
): {
  readonly tenantId: string | null;
  readonly messageId: string | null;
  readonly key: string | null;
} | null => {
  const of = (request: MessageRequest) => ({
    tenantId: request.tenantId as string,
    messageId: request.messageId as string,
    key: request.idempotencyKey,
  });
  switch (decoded.is) {
    case 'MessageRequest':
      return of(decoded.value);
    case 'MessageDeduped':
    case 'BudgetReserved':
    case 'MessageRouted':
      return of(dedupedIn(decoded.value).request);
    case 'Parked': {
      const deduped = decoded.value.deduped ?? decoded.value.routed?.reserved.deduped;
      return deduped === undefined ? null : of(deduped.request);
    }
    case 'DeliveryFeedback':
      return { ...decoded.value, key: null };
    case 'MessageRefused':
      return { ...decoded.value, key: decoded.value.idempotencyKey };
    case 'ProviderReceipt':
      return decoded.value.attempt === null ? null : { ...decoded.value.attempt, key: null };
    case 'ChannelWindow':
    case 'BreakerLevel':
    case 'BreakerCommand':
    case 'ConfigEntry':
    case 'AccountLevel':
    case 'Unreadable':
      return null;
  }
};

const money = ({ kind, cashMicros, units, currency }: Settlement): string =>
  kind === 'none' ? '' : `; ${kind} ${decimalOf(cashMicros)} ${currency}, ${units} PV`;
const code = (providerCode: string | null): string =>
  providerCode === null ? '' : ` (${providerCode})`;
const isoTime = (ms: number): string => new Date(ms).toISOString();

const openEnd = ({ terminal, state }: DeliveryFeedback): string =>
  terminal ? '' : state === 'failed' ? ', to be tried again' : ', a receipt is awaited';

const ofFeedback = (value: DeliveryFeedback): string =>
  `attempt ${value.attempt} by ${value.channel}/${value.provider}: ${value.state}${value.class === null ? '' : `, ${value.class}`}${code(value.providerCode)}${openEnd(value)}${money(value.settlement)}`;
const ofRouted = (value: MessageRouted): string =>
  `attempt ${value.attempt} to ${value.channel}/${value.provider} for ${decimalOf(value.priceMicros)} ${value.reserved.currency}${value.alternatives.length === 0 ? '' : `, then ${value.alternatives.join(', ')}`}${value.dueAt === null ? '' : `, due ${isoTime(value.dueAt)}`}`;

const summaryOf = (
  decoded: DecodedValue,
): { readonly at: number | null; readonly text: string } => {
  switch (decoded.is) {
    case 'MessageRequest': {
      const { value } = decoded;
      return {
        at: null,
        text: `${value.attribute} for ${value.businessLine}, template ${value.templateId}, channels ${value.channels.length === 0 ? 'by policy' : value.channels.join(', ')}`,
      };
    }
    case 'MessageDeduped':
      return {
        at: decoded.value.dedupedAt,
        text: `seen for the first time, generation ${decoded.value.generation}`,
      };
    case 'BudgetReserved': {
      const { value } = decoded;
      return {
        at: value.reservedAt,
        text: `reserved ${decimalOf(value.cashMicros)} ${value.currency}, ${value.units} PV; may go by ${value.candidates.join(', ')}`,
      };
    }
    case 'MessageRouted':
      return { at: decoded.value.routedAt, text: ofRouted(decoded.value) };
    case 'Parked': {
      const { value } = decoded;
      return {
        at: value.parkedAt,
        text: `${value.why}: ${value.detail}${value.until === null ? '' : `, until ${isoTime(value.until)}`}`,
      };
    }
    case 'DeliveryFeedback':
      return { at: decoded.value.occurredAt, text: ofFeedback(decoded.value) };
    case 'MessageRefused': {
      const { value } = decoded;
      return {
        at: value.refusedAt,
        text: `${value.reason}${value.field === null ? '' : ` (${value.field})`}: ${value.detail}${value.firstMessageId === null ? '' : `; the first was ${value.firstMessageId}`}${money(value.settlement)}`,
      };
    }
    case 'ProviderReceipt': {
      const { value } = decoded;
      return {
        at: value.receivedAt,
        text: `${value.origin} of ${value.channel}/${value.provider}: ${value.state}${value.class === null ? '' : `, ${value.class}`}${code(value.providerCode)}`,
      };
    }
    case 'ChannelWindow':
    case 'BreakerLevel':
    case 'BreakerCommand':
    case 'ConfigEntry':
    case 'AccountLevel':
      return { at: null, text: decoded.is };
    case 'Unreadable':
      return { at: null, text: decoded.why };
  }
};

/** A record as an event. `prefix` is cut off its topic. */
export const eventOf = (record: Decoded, prefix: string): TraceEvent => {
  const { decoded, at, timestamp } = record;
  const what = at.topic.slice(prefix.length);
  if (decoded.is === 'Unreadable' && record.headers[DEAD_LETTER_HEADERS.code] !== undefined) {
    const header = (name: string) => record.headers[name]?.toString() ?? '';
    return {
      at: timestamp,
      where: at,
      what,
      summary: `${header(DEAD_LETTER_HEADERS.stage)}: ${header(DEAD_LETTER_HEADERS.code)}, ${header(DEAD_LETTER_HEADERS.message)}`,
      detail: Object.fromEntries(
        Object.entries(record.headers).map(([name, value]) => [name, value.toString()]),
      ),
    };
  }
  const { at: written, text } = summaryOf(decoded);
  return {
    at: written ?? timestamp,
    where: at,
    what,
    summary: text,
    detail: decoded.is === 'Unreadable' ? { why: decoded.why } : decoded.value,
  };
};
