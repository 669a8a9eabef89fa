import type { Codecs } from '../../schemas/topic-codecs.js';
import type { Coordinates } from '../../schemas/record.js';
import type { ClientSettings } from '../../topologies/runtime/rdkafka-client.js';
import type { RawRecord } from '../../topologies/runtime/raw-record.js';
import type { TopicSpec } from '../../topologies/topic-table.js';
import { DEAD_LETTER_HEADERS } from '../../topologies/runtime/dead-letters.js';
import type { Decoded } from '../read/decoded.js';
import { readDecoded } from '../read/decoded.js';
import { messageOf } from './describe.js';

/** What is asked for. */
export type Wanted =
  | { readonly messageId: string; readonly tenantId?: string }
  | { readonly tenantId: string; readonly idempotencyKey: string }
  | { readonly at: Coordinates }
  | {
      readonly providerMessageId: string;
      /** Messages that the tables know under it. */
      readonly known: readonly { readonly tenantId: string; readonly messageId: string }[];
    };

/** What a provider calls an attempt. */
export interface ProviderReference {
  readonly provider: string;
  readonly providerMessageId: string;
}

export interface Found {
  readonly tenantId: string;
  readonly messageId: string;
  readonly records: readonly Decoded[];
}

export interface SearchOptions {
  readonly settings: ClientSettings;
  readonly codecs: Codecs;
  /** Topics that messages go through. */
  readonly table: readonly TopicSpec[];
  /** ms since the epoch. */
  readonly since: number;
  readonly onProgress: (read: number, atMost: number) => void;
}

const idOf = (tenantId: string | null, messageId: string | null) =>
  `${tenantId ?? ''}|${messageId ?? ''}`;
const placeOf = ({ topic, partition, offset }: Coordinates) => `${topic}/${partition}/${offset}`;

/** Where a dead letter lay before. */
const originOf = ({ headers }: RawRecord): string => {
  const text = (name: string) => headers[name]?.toString() ?? '';
  return `${text(DEAD_LETTER_HEADERS.topic)}/${text(DEAD_LETTER_HEADERS.partition)}/${text(DEAD_LETTER_HEADERS.offset)}`;
};

/**
 * Records that `only` lets through. A message may be in any partition of a topic (its key is the producer's choice),
 * so all are read, from a time on.
 */
const records = async function* (
  { settings, codecs, table, since, onProgress }: SearchOptions,
  only: (record: RawRecord) => boolean,
): AsyncGenerator<Decoded> {
  for await (const batch of readDecoded({
    settings,
    codecs,
    only,
    topics: table,
    from: { since },
    deadlineMs: 600_000,
    onProgress,
  }))
    yield* batch;
};

/** Avro writes a string as its bytes: what does not hold one of these texts need not be decoded. */
const holding = (texts: readonly string[]): ((record: RawRecord) => boolean) => {
  const needles = texts.map((text) => Buffer.from(text));
  return ({ value }) => value !== null && needles.some((needle) => value.includes(needle));
};

/**
 * All records of the messages asked for. One reading where the message id is known; where only a key or a place is,
 * a first reading learns the ids.
 */
export const search = async (options: SearchOptions, wanted: Wanted): Promise<readonly Found[]> => {
  if ('messageId' in wanted)
    return collect(
      options,
      [wanted.messageId],
      (id, tenant) =>
        id === wanted.messageId && (wanted.tenantId === undefined || tenant === wanted.tenantId),
    );
  const { ids, lone } = await learn(options, wanted);
  const found =
    ids.size === 0
      ? []
      : await collect(options, [...ids.values()], (id, tenant) => ids.has(idOf(tenant, id)));
  return lone.length === 0
    ? found
    : [...found, { tenantId: '', messageId: NO_MESSAGE, records: lone }];
};

/** Clocks of producers, workers and ours differ by less. */
const CLOCKS_DIFFER_MS = 60_000;

/**
 * The same messages with the records that were written since. What the tables tell of a message lies in the topics by
 * then, but may have come after a first reading's end: look again once they were asked.
 * @param began when the first reading did: ms since the epoch
 */
export const lookAgain = async (
  options: SearchOptions,
  found: readonly Found[],
  began: number,
): Promise<readonly Found[]> => {
  const ids = new Map(
    found
      .filter(({ messageId }) => messageId !== NO_MESSAGE)
      .map((one) => [idOf(one.tenantId, one.messageId), one.messageId]),
  );
  if (ids.size === 0) return found;
  const since = Math.max(options.since, began - CLOCKS_DIFFER_MS);
  const later = await collect({ ...options, since }, [...ids.values()], (id, tenant) =>
    ids.has(idOf(tenant, id)),
  );
  return found.map((one) => {
    const before = new Set(one.records.map(({ at }) => placeOf(at)));
    const more = later
      .filter(({ tenantId, messageId }) => tenantId === one.tenantId && messageId === one.messageId)
      .flatMap(({ records: all }) => all.filter(({ at }) => !before.has(placeOf(at))));
    return { ...one, records: [...one.records, ...more] };
  });
};

/** Stands for the message of records that name none. */
export const NO_MESSAGE = '(names no message)';

const learn = (
  options: SearchOptions,
  wanted: Exclude<Wanted, { readonly messageId: string }>,
): Promise<Learned> => {
  if ('at' in wanted) return byPlace(options, wanted.at);
  return 'providerMessageId' in wanted
    ? byProviderId(options, wanted.providerMessageId, wanted.known)
    : byKey(options, wanted);
};

interface Learned {
  /** Message ids by tenant and message id. */
  readonly ids: ReadonlyMap<string, string>;
  /** Records that name no message. */
  readonly lone: readonly Decoded[];
}

const byPlace = async (options: SearchOptions, at: Coordinates): Promise<Learned> => {
  const ids = new Map<string, string>();
  const lone: Decoded[] = [];
  const place = placeOf(at);
  const only = (record: RawRecord) => placeOf(record.at) === place || originOf(record) === place;
  for await (const record of records(options, only)) {
    const message = messageOf(record.decoded);
    if (message === null) lone.push(record);
    else ids.set(idOf(message.tenantId, message.messageId), message.messageId ?? '');
  }
  return { ids, lone };
};

const byProviderId = async (
  options: SearchOptions,
  providerMessageId: string,
  known: Extract<Wanted, { readonly known: unknown }>['known'],
): Promise<Learned> => {
  const ids = new Map(known.map((one) => [idOf(one.tenantId, one.messageId), one.messageId]));
  const lone: Decoded[] = [];
  for await (const record of records(options, holding([providerMessageId]))) {
    const { decoded } = record;
    if (decoded.is !== 'DeliveryFeedback' && decoded.is !== 'ProviderReceipt') continue;
    if (decoded.value.providerMessageId !== providerMessageId) continue;
    const message = messageOf(decoded);
    if (message === null) lone.push(record);
    else ids.set(idOf(message.tenantId, message.messageId), message.messageId ?? '');
  }
  // With a message they are its own: receiptsByProviderId finds them again.
  return { ids, lone: ids.size === 0 ? lone : [] };
};

/** References that records of a message carry. */
export const referencesIn = (records: readonly Decoded[]): readonly ProviderReference[] =>
  records.flatMap(({ decoded }) =>
    (decoded.is === 'DeliveryFeedback' || decoded.is === 'ProviderReceipt') &&
    decoded.value.providerMessageId !== null
      ? [{ provider: decoded.value.provider, providerMessageId: decoded.value.providerMessageId }]
      : [],
  );

/**
 * Receipts that name no attempt, only the provider's id. Read in a second pass over the receipts' topics: which ids are
 * the message's own is known only once its other records are.
 */
export const receiptsByProviderId = async (
  options: SearchOptions,
  references: readonly ProviderReference[],
): Promise<readonly Decoded[]> => {
  if (references.length === 0) return [];
  const receipts = options.table.filter((spec) => spec.record === 'ProviderReceipt');
  const found: Decoded[] = [];
  const ids = references.map((one) => one.providerMessageId);
  for await (const record of records({ ...options, table: receipts }, holding(ids))) {
    const { decoded } = record;
    if (decoded.is !== 'ProviderReceipt' || decoded.value.attempt !== null) continue;
    const { provider, providerMessageId } = decoded.value;
    if (
      references.some(
        (one) => one.provider === provider && one.providerMessageId === providerMessageId,
      )
    )
      found.push(record);
  }
  return found;
};

const byKey = async (
  options: SearchOptions,
  { tenantId, idempotencyKey }: { readonly tenantId: string; readonly idempotencyKey: string },
): Promise<Learned> => {
  const ids = new Map<string, string>();
  for await (const record of records(options, holding([idempotencyKey]))) {
    const message = messageOf(record.decoded);
    if (message === null || message.tenantId !== tenantId) continue;
    if ((message.key ?? message.messageId) !== idempotencyKey) continue;
    ids.set(idOf(message.tenantId, message.messageId), message.messageId ?? '');
  }
  return { ids, lone: [] };
};

const collect = async (
  options: SearchOptions,
  messageIds: readonly string[],
  isWanted: (messageId: string | null, tenantId: string | null) => boolean,
): Promise<readonly Found[]> => {
  const found = new Map<string, { tenantId: string; messageId: string; records: Decoded[] }>();
  for await (const record of records(options, holding(messageIds))) {
    const message = messageOf(record.decoded);
    if (message === null || !isWanted(message.messageId, message.tenantId)) continue;
    const id = idOf(message.tenantId, message.messageId);
    const known = found.get(id) ?? {
      tenantId: message.tenantId ?? '',
      messageId: message.messageId ?? '',
      records: [],
    };
    known.records.push(record);
    found.set(id, known);
  }
  return [...found.values()];
};
