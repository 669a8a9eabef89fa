import { expect, test } from 'vitest';
import { claimCodec } from '../../processors/send/claim-codec.js';
import { type Claim, claimKey } from '../../processors/send/claim.js';
import { EXPIRES, NOW, routed } from '../../processors/send/fixtures.js';
import { type AvroNode, readAvscFiles, selfContained } from '../../schemas/avsc-files.js';
import type { Codec } from '../../schemas/record.js';
import { type SchemaSource, openCodecs } from '../../schemas/topic-codecs.js';
import { Shard } from './chain.js';
import { PackedStore } from './packed-store.js';
import type { RawRecord } from './raw-record.js';
import { restoreShards } from './restore.js';
import { StagedStore } from './state-store.js';

const TOPIC = 'routed.sms.p0';
const OURS = 1;
const NEWER = 2;
const node = selfContained('MessageRouted', readAvscFiles());
/** A later release's: one field more, behind ours. */
const newer: AvroNode = {
  ...node,
  fields: [...(node.fields ?? []), { name: 'mood', type: 'string', default: '' }],
};
const schemas = new Map([
  [OURS, node],
  [NEWER, newer],
]);

/** A worker that started before the newer schema was registered: it asks for what it meets. */
const started = async () => {
  const source: SchemaSource = {
    idOf: () => Promise.resolve(OURS),
    schemaById: (id) =>
      Promise.resolve({ kind: 'AVRO', text: JSON.stringify(schemas.get(id)), references: [] }),
  };
  return openCodecs(source, [{ topic: TOPIC, record: 'MessageRouted' }]);
};

const claim: Claim = {
  routed: routed(),
  at: { topic: TOPIC, partition: 0, offset: 7 },
  claimedAt: NOW,
  deadline: EXPIRES,
};

test.each([
  ['a claim record by record', () => new StagedStore<unknown>()],
  ['claims in blocks', () => new PackedStore<unknown>()],
])('a running worker restores state whose schema is newer than its start: %s', async (_, make) => {
  const codecs = await started();
  const own = codecs.of('MessageRouted', TOPIC);
  const codec = claimCodec({
    ...own,
    // As the newer release frames it, with its field at the end.
    encode: (value) => {
      const bytes = Buffer.concat([own.encode(value), Buffer.of(4, 0x6f, 0x6b)]);
      bytes.writeUInt32BE(NEWER, 1);
      return bytes;
    },
  });
  const writer = make();
  writer.put(claimKey(claim.at), claim);
  const changelog = [...writer.changelog(codec as Codec<unknown>)].map(
    ({ key, value }): Pick<RawRecord, 'key' | 'value'> => ({
      key: Buffer.from(`${TOPIC}|${key}`),
      value,
    }),
  );

  const staged = make();
  const shard = new Shard(TOPIC, 0, []);
  shard.all = function* () {
    yield { stage: 'send', store: 'claims', staged };
  };
  await restoreShards([shard], {
    changelogs: new Map([['send/claims', { name: 'claims', codec: claimCodec(own) }]]) as never,
    read: (_partition, visit) => {
      changelog.forEach(visit);
      return Promise.resolve();
    },
    prepare: codecs.prepare,
    now: NOW,
  });
  expect([...staged.entries()]).toEqual([[claimKey(claim.at), claim]]);
});
