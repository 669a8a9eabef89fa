import type { Claim } from '../processors/send/claim.js';
import type { Codec } from '../schemas/record.js';
import { changelogKeyParts } from './runtime/chain.js';
import { PackedStore } from './runtime/packed-store.js';
import { readRange } from './runtime/range-reader.js';
import { partitionId } from './runtime/raw-record.js';
import type { ClientSettings } from './runtime/rdkafka-client.js';
import type { Restoring } from './runtime/state-store.js';

export interface ClaimedMessagesOptions {
  readonly settings: ClientSettings;
  /** Names the reader for the broker's access rules; it joins no group. */
  readonly groupId: string;
  /** Changelogs of claims. */
  readonly claims: readonly { readonly name: string; readonly codec: Codec<Claim> }[];
  readonly prepare: (values: readonly Buffer[]) => Promise<void>;
}

/** One message in one generation, as a key. */
export const messageKey = (message: {
  readonly tenantId: string;
  readonly messageId: string;
  readonly generation: number;
}): string => `${message.tenantId}|${message.messageId}|${message.generation.toString()}`;

/**
 * Messages whose call is under way, or was when its worker died: all claims that are committed now, read from their
 * changelogs to the end. Seldom asked for: it reads what a restart of all senders would.
 * @throws PipelineError kafka_unavailable
 */
export const claimedMessages = async ({
  settings,
  groupId,
  claims,
  prepare,
}: ClaimedMessagesOptions): Promise<ReadonlySet<string>> => {
  const codecs = new Map(claims.map(({ name, codec }) => [name, codec]));
  // A changelog's partition is shared by source topics, each with blocks of its own.
  const stores = new Map<
    string,
    { readonly store: PackedStore<Claim>; readonly restoring: Restoring }
  >();
  const topics = [...codecs.keys()];
  for await (const batch of readRange({ settings, groupId, topics, to: 'high' }))
    for (const { at, key, value } of batch) {
      const codec = codecs.get(at.topic);
      const parts = changelogKeyParts(key?.toString('utf8') ?? '');
      if (codec === undefined || parts === null) continue;
      const [source, own] = parts;
      const name = `${partitionId(at)} ${source}`;
      let known = stores.get(name);
      if (known === undefined) {
        const store = new PackedStore<Claim>();
        // It decodes only.
        known = { store, restoring: store.restoring(codec as Codec<unknown>) };
        stores.set(name, known);
      }
      known.restoring.take(own, value);
    }
  const claimed = new Set<string>();
  for (const { store, restoring } of stores.values()) {
    await prepare(restoring.values());
    restoring.done();
    for (const [, { routed }] of store.entries()) {
      const { request, generation } = routed.reserved.deduped;
      claimed.add(messageKey({ ...request, generation }));
    }
  }
  return claimed;
};
