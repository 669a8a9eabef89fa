import { messageId, tenantId } from '../../schemas/brand.js';
import { writeFrame } from '../../schemas/frame.js';
import type { MessageRequest, RefusalReason } from '../../schemas/generated/records.js';
import { recipientOf, requestOf } from './requests.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const KIB = 1_024;

/** What a row's maker may use: all that is known only once the installation stands. */
export interface Kit {
  readonly now: number;
  /** In our schema, framed. */
  readonly encode: (request: MessageRequest) => Buffer;
  /** Schema ids that the registry knows, and that are no MessageRequest of ours. */
  readonly foreignSchemas: { readonly unresolvable: number; readonly notAvro: number };
}

export type Expected =
  | { readonly kind: 'dead-letter'; readonly code: string }
  | {
      readonly kind: 'refused';
      readonly reason: RefusalReason;
      readonly field: string | null;
      readonly retryable: boolean;
    }
  | { readonly kind: 'accepted' }
  | { readonly kind: 'parked' };

/** One line of the contract's table "What bad input gets", or a variant of it. */
export interface Row {
  readonly it: string;
  readonly expected: Expected;
  /** A topic of its own; absent: any lane of the shared ones. */
  readonly ingest?: { readonly lane: 'p0' | 'p1' | 'p2' | 'p3' } | { readonly tenant: string };
  /** Absent: the recipient. */
  readonly key?: string | null;
  readonly make: (kit: Kit) => MessageRequest | Buffer | null;
}

type Changes = Partial<MessageRequest> | ((kit: Kit) => Partial<MessageRequest>);

const requestWith =
  (changes: Changes) =>
  (kit: Kit): MessageRequest =>
    requestOf(typeof changes === 'function' ? changes(kit) : changes);

const dead = (it: string, code: string, make: Row['make'], more: Partial<Row> = {}): Row => ({
  it,
  expected: { kind: 'dead-letter', code },
  make,
  ...more,
});

const refused = (
  it: string,
  reason: RefusalReason,
  field: string | null,
  changes: Changes,
  more: Partial<Row> & { readonly retryable?: true } = {},
): Row => {
  const { retryable = false, ...rest } = more;
  return {
    it,
    expected: { kind: 'refused', reason, field, retryable },
    make: requestWith(changes),
    ...rest,
  };
};

const invalid = (it: string, field: string, changes: Changes): Row =>
  refused(it, 'invalid', field, changes);

const accepted = (it: string, changes: Changes, more: Partial<Row> = {}): Row => ({
  it,
  expected: { kind: 'accepted' },
  make: requestWith(changes),
  ...more,
});

const framed = (id: number, payload: Buffer): Buffer => {
  const bytes = Buffer.concat([Buffer.alloc(5), payload]);
  writeFrame(bytes, id);
  return bytes;
};

const labels = (count: number, bytes: number): Record<string, string> =>
  Object.fromEntries(
    Array.from({ length: count }, (_, index) => {
      const name = `label-${index.toString().padStart(2, '0')}`;
      return [name, 'x'.repeat(bytes - name.length)];
    }),
  );

const undecodableRows: readonly Row[] = [
  dead('text that is no Avro at all', 'not_framed', () => Buffer.from('{"messageId":"1"}')),
  dead('another magic byte', 'not_framed', ({ encode }) => {
    const bytes = Buffer.from(encode(requestOf()));
    bytes[0] = 1;
    return bytes;
  }),
  dead('a value shorter than the frame', 'not_framed', () => Buffer.from([0, 0, 0, 1])),
  dead('Avro without the frame', 'not_framed', ({ encode }) => encode(requestOf()).subarray(5)),
  dead('a schema id that the registry does not know', 'unknown_schema', ({ encode }) =>
    framed(0x7ffffffe, encode(requestOf()).subarray(5)),
  ),
  dead('a schema that does not resolve to ours', 'unresolvable_schema', ({ foreignSchemas }) =>
    framed(foreignSchemas.unresolvable, Buffer.from([2])),
  ),
  dead('a schema that is not Avro', 'unresolvable_schema', ({ foreignSchemas }) =>
    framed(foreignSchemas.notAvro, Buffer.from('{}')),
  ),
  dead('our schema and half of the bytes', 'undecodable', ({ encode }) => {
    const bytes = encode(requestOf());
    return bytes.subarray(0, Math.floor(bytes.length / 2));
  }),
  dead('our schema and bytes left over', 'undecodable', ({ encode }) =>
    Buffer.concat([encode(requestOf()), Buffer.from([0])]),
  ),
  dead('our schema and nothing else', 'undecodable', ({ encode }) =>
    encode(requestOf()).subarray(0, 5),
  ),
  dead('a tombstone', 'tombstone', () => null),
  dead('an empty value', 'tombstone', () => Buffer.alloc(0)),
  dead('text without a key', 'not_framed', () => Buffer.from('no key either'), { key: null }),
  dead('text whose key holds a zero byte', 'not_framed', () => Buffer.from('nor this'), {
    key: 'before\0after',
  }),
];

const invalidRows: readonly Row[] = [
  invalid('an id that is no UUID', 'messageId', { messageId: messageId('order-4711') }),
  invalid('a UUID in capitals', 'messageId', {
    messageId: messageId('01934B2E-0000-7000-8000-00000000000A'),
  }),
  invalid('an empty idempotencyKey', 'idempotencyKey', { idempotencyKey: '' }),
  invalid('no unit', 'units', { units: 0 }),
  invalid('fewer units than none', 'units', { units: -1 }),
  invalid('1,001 units', 'units', { units: 1_001 }),
  invalid('a negative cost', 'maxCostMicros', { maxCostMicros: -1n }),
  invalid('a cost over 1,000 currency units', 'maxCostMicros', { maxCostMicros: 1_000_000_001n }),
  invalid('made more than an hour ahead', 'createdAt', ({ now }) => ({
    createdAt: now + HOUR_MS + 600_000,
  })),
  invalid('expired before it was made', 'expiresAt', ({ now }) => ({
    createdAt: now,
    expiresAt: now - 1,
  })),
  invalid('not before in more than 30 days', 'notBefore', ({ now }) => ({
    notBefore: now + 30 * DAY_MS + 600_000,
  })),
  invalid('17 labels', 'labels', { labels: labels(17, 20) }),
  invalid('a label of 257 bytes', 'labels', { labels: labels(1, 257) }),
  invalid('an empty tenant', 'tenantId', { tenantId: tenantId('') }),
  invalid('an empty user', 'recipient.userId', { recipient: recipientOf({ userId: '' }) }),
  invalid('an account that the tenant does not have', 'businessLine', { businessLine: 'gifts' }),
];

const refusedRows: readonly Row[] = [
  refused('a value over 256 KiB', 'too_large', null, {
    params: { name: 'x'.repeat(257 * KIB), code: '1' },
  }),
  refused('params over 64 KiB', 'too_large', 'params', {
    params: { name: 'x'.repeat(64 * KIB), code: '1' },
  }),
  refused('its time has passed', 'expired', 'expiresAt', ({ now }) => ({
    createdAt: now - 2 * HOUR_MS,
    expiresAt: now - HOUR_MS,
  })),
  refused('older than what dedupe remembers', 'expired', 'createdAt', ({ now }) => ({
    createdAt: now - DAY_MS - 600_000,
  })),
  refused('a channel that has no address of the recipient', 'no_address', 'recipient', {
    channels: ['email'],
  }),
  refused('an unknown tenant', 'unknown_tenant', 'tenantId', { tenantId: tenantId('nobody') }),
  refused('an unknown template', 'unknown_template', 'templateId', { templateId: 'nothing' }),
  refused("another tenant's template", 'unknown_template', 'templateId', {
    tenantId: tenantId('globex'),
    templateId: 'acme-only',
  }),
  refused(
    'no channel that is configured',
    'no_channel',
    'channels',
    { channels: ['pigeon'] },
    {
      retryable: true,
    },
  ),
  refused(
    'no channel within its caps',
    'no_channel',
    'channels',
    { maxCostMicros: 1n },
    {
      retryable: true,
    },
  ),
  refused(
    'too little cash',
    'budget_cash',
    null,
    {
      tenantId: tenantId('hooli'),
      businessLine: 'no-cash',
    },
    { retryable: true },
  ),
  refused(
    'too few PV units',
    'budget_pv',
    null,
    {
      tenantId: tenantId('hooli'),
      businessLine: 'no-units',
    },
    { retryable: true },
  ),
  refused("a currency that is not the account's", 'currency', 'currency', { currency: 'USD' }),
  refused(
    'a lane that its tenant may not use',
    'lane_not_allowed',
    null,
    {
      tenantId: tenantId('urgent'),
    },
    { ingest: { lane: 'p3' } },
  ),
  refused(
    "on another tenant's topic",
    'tenant_mismatch',
    'tenantId',
    {},
    {
      ingest: { tenant: 'initech' },
    },
  ),
];

/** Just inside each limit, and what is unusual but right. */
const acceptedRows: readonly Row[] = [
  accepted('no key', {}, { key: null }),
  accepted('a key with a zero byte', {}, { key: 'before\0after' }),
  accepted('one unit', { units: 1 }),
  accepted('1,000 units', { units: 1_000 }),
  accepted('a cost of 1,000 currency units', { maxCostMicros: 1_000_000_000n }),
  accepted('made almost an hour ahead', ({ now }) => ({ createdAt: now + HOUR_MS - 600_000 })),
  accepted('made almost 24 h ago', ({ now }) => ({ createdAt: now - DAY_MS + 600_000 })),
  accepted('16 labels of 256 bytes', { labels: labels(16, 256) }),
  accepted('params of almost 64 KiB', { params: { name: 'x'.repeat(63 * KIB), code: '1' } }),
  accepted('zero bytes in its texts', {
    campaignId: 'before\0after',
    idempotencyKey: 'before\0after',
    labels: { 'be\0fore': 'af\0ter' },
    recipient: recipientOf({ userId: 'before\0after' }),
    params: { name: 'before\0after', code: '1' },
  }),
  accepted(
    'its own tenant on its own topic',
    { tenantId: tenantId('initech') },
    {
      ingest: { tenant: 'initech' },
    },
  ),
  {
    it: 'not before in an hour',
    expected: { kind: 'parked' },
    make: requestWith(({ now }) => ({ notBefore: now + HOUR_MS })),
  },
];

export const ROWS: readonly Row[] = [
  ...undecodableRows,
  ...invalidRows,
  ...refusedRows,
  ...acceptedRows,
];
