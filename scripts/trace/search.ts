import type { Codecs } from '../../schemas/topic-codecs.js';
import type { Coordinates } from '../../schemas/record.js';
import type { ClientSettings } from '../../topologies/runtime/rdkafka-client.js';
import type { TopicSpec } from '../../topologies/topic-table.js';
import { DEAD_LETTER_HEADERS } from '../../topologies/runtime/dead-letters.js';
import type { Decoded } from '../read/decoded.js';
import { readDecoded } from '../read/decoded.js';
import { messageOf } from './describe.js';

/** What is asked for. */
export type Wanted =
  | { readonly messageId: string; readonly tenantId?: string }
  | { readonly tenantId: string; readonly idempotencyKey: string }
  | { readonly at: Coordinates };

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
const originOf = ({ headers }: Decoded): string => {
  const text = (name: string) => headers[name]?.toString() ?? '';
  return `${text(DEAD_LETTER_HEADERS.topic)}/${text(DEAD_LETTER_HEADERS.partition)}/${text(DEAD_LETTER_HEADERS.offset)}`;
};

/** A message may be in any partition of a topic (its key is the producer's choice), so all are read, from a time on. */
const records = async function* (options: SearchOptions): AsyncGenerator<Decoded> {
  const { settings, codecs, table, since, onProgress } = options;
  for await (const batch of readDecoded({
    settings,
    codecs,
    topics: table,
    from: { since },
    deadlineMs: 600_000,
    onProgress,
  }))
    yield* batch;
};

/**
 * All records of the messages asked for. One reading where the message id is known; where only a key or a place is,
 * the first reading learns the ids.
 */
export const search = async (options: SearchOptions, wanted: Wanted): Promise<readonly Found[]> => {
  if ('messageId' in wanted)
    return collect(
      options,
      (id, tenant) =>
        id === wanted.messageId && (wanted.tenantId === undefined || tenant === wanted.tenantId),
    );
  const ids = new Set<string>();
  const lone: Decoded[] = [];
  for await (const record of records(options)) {
    const message = messageOf(record.decoded);
    if ('at' in wanted) {
      const place = placeOf(wanted.at);
      if (placeOf(record.at) !== place && originOf(record) !== place) continue;
      if (message === null) lone.push(record);
    } else if (
      message?.tenantId !== wanted.tenantId ||
      (message.key ?? message.messageId) !== wanted.idempotencyKey
    )
      continue;
    if (message !== null) ids.add(idOf(message.tenantId, message.messageId));
  }
  const found =
    ids.size === 0 ? [] : await collect(options, (id, tenant) => ids.has(idOf(tenant, id)));
  return lone.length === 0
    ? found
    : [...found, { tenantId: '', messageId: '(unreadable)', records: lone }];
};

const collect = async (
  options: SearchOptions,
  isWanted: (messageId: string | null, tenantId: string | null) => boolean,
): Promise<readonly Found[]> => {
  const found = new Map<string, { tenantId: string; messageId: string; records: Decoded[] }>();
  for await (const record of records(options)) {
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
