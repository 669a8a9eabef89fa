import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { messageId, tenantId } from '../../schemas/brand.js';
import type { MessageRequest } from '../../schemas/generated/records.js';
import type { KafkaRecord } from '../../schemas/record.js';
import { recipientHash } from '../recipient-hash.js';
import {
  CANARIES,
  HOUR,
  NOW,
  asText,
  configTable,
  record,
  request,
} from '../testing/intake-fixtures.js';
import { dedupe } from './dedupe.js';
import type { FirstSeen, FirstSighting, Sighting } from './first-seen.js';
import { contentHash, keyHash } from './key.js';
import type { OwnReservations, Payer } from './own-reservations.js';

const stage = dedupe({ recipientHash: recipientHash('secret'), topicPrefix: 'x.' });
const tables = { config: configTable() };
/** The partition's set: ids in hex. */
const setOf = (ids = new Set<string>()) => ({
  kind: 'ids' as const,
  has: (id: Buffer) => ids.has(id.toString('hex')),
});
const viewOf = (ids?: Set<string>) => ({ now: NOW, tables, state: { seen: setOf(ids) } });
const view = viewOf();

/** Redis in a map; away where null. */
const memory = (kept: Map<string, FirstSighting> | null = new Map()) => {
  const asked: Sighting[][] = [];
  const firstSeen: FirstSeen = {
    claim: (sightings) => {
      asked.push([...sightings]);
      return Promise.resolve(
        sightings.map((one) => {
          if (kept === null) return null;
          const name = one.key.toString('hex');
          const first = kept.get(name) ?? one;
          kept.set(name, first);
          return first;
        }),
      );
    },
    release: () => Promise.resolve(),
  };
  return { asked, firstSeen };
};

const nobodyPaid: OwnReservations = {
  reservedBy: (records) => Promise.resolve(records.map(() => false)),
};

type In = KafkaRecord<MessageRequest> & { readonly from: 'ingest' };

/** As the runtime does: what is put shows to the records behind. */
const run = async (
  batch: readonly In[],
  { firstSeen } = memory(),
  ids: Set<string> = new Set<string>(),
  reservations = nobodyPaid,
) => {
  const facts = await stage.gather(
    batch,
    { firstSeen, reservations },
    { ...view, stateOf: () => view.state },
  );
  return batch.flatMap((one, index) => {
    const fact = facts[index];
    if (fact === undefined) throw new Error('a fact a record');
    const { emit = [], put = [] } = stage.decide(one, fact, viewOf(ids));
    for (const { id } of put) ids.add(id.toString('hex'));
    return emit;
  });
};

/** Where each record went, with the reason of a refusal. */
const went = async (...args: Parameters<typeof run>) =>
  (await run(...args)).map((one) => (one.to === 'refused' ? one.value.reason : one.to));

const ingest = (offset: number, change: Partial<MessageRequest> = {}): In =>
  record('ingest', request(change), offset);

const other = messageId('0198f3c2-7b1e-7c55-9a1b-000000000002');

describe('dedupe', () => {
  test('who paid before its transaction was aborted, and may not pass any more, gets its money back; others do not', async () => {
    const late = { createdAt: NOW - 25 * HOUR };
    const asked: Payer[] = [];
    const refusals = await run(
      [
        ingest(1, late),
        ingest(2, { ...late, messageId: other }),
        ingest(3, { templateId: 'gone' }),
        // Wrong from the beginning, or with a time that names no day: nobody can have paid for it.
        ingest(4, { units: 0 }),
        ingest(5, { createdAt: -1e17 }),
      ],
      memory(),
      new Set(),
      {
        reservedBy: (records) => {
          asked.push(...records);
          return Promise.resolve(records.map(({ at }) => at.offset !== 2));
        },
      },
    );
    expect(
      refusals.map((one) =>
        one.to === 'refused' ? [one.value.reason, one.value.settlement.kind] : one.to,
      ),
    ).toEqual([
      ['expired', 'void'],
      ['expired', 'none'],
      ['unknown_template', 'void'],
      ['invalid', 'none'],
      ['expired', 'none'],
    ]);
    expect(asked.map(({ at, generation }) => [at.offset, generation])).toEqual([
      [1, 0],
      [2, 0],
      [3, 0],
    ]);
  });

  test('passes a key once, and a record that is read again', async () => {
    const ports = memory();
    expect(await went([ingest(1), ingest(2)], ports)).toEqual(['deduped', 'duplicate']);
    // An abort drops what was put; Redis keeps what it was told.
    expect(await went([ingest(1), ingest(2)], ports)).toEqual(['deduped', 'duplicate']);
  });

  test('names the first to a duplicate, and carries no recipient and no params', async () => {
    const [, refused] = await run([
      ingest(1, { idempotencyKey: 'k' }),
      ingest(2, { idempotencyKey: 'k', messageId: other }),
    ]);
    expect(refused).toMatchObject({
      to: 'refused',
      key: 'user-key',
      value: {
        messageId: other,
        idempotencyKey: 'k',
        lane: 'p1',
        source: { topic: 'x.ingest.p1', partition: 2, offset: 2 },
        reason: 'duplicate',
        retryable: false,
        firstMessageId: request().messageId,
        firstSource: { topic: 'x.ingest.p1', partition: 2, offset: 1 },
        settlement: { kind: 'none' },
        recipientHash: recipientHash('secret')(tenantId('acme'), 'user-canary'),
        labels: { team: 'growth' },
      },
    });
    for (const canary of CANARIES) expect(asText(refused)).not.toContain(canary);
  });

  test.each<[string, Partial<MessageRequest>]>([
    ['recipient', { recipient: { ...request().recipient, phone: '13900000000' } }],
    ['templateId', { templateId: 'long' }],
    ['params', { params: { code: '1' } }],
    ['channels', { channels: ['sms'] }],
    ['units', { units: 5 }],
    ['maxCostMicros', { maxCostMicros: 5n }],
  ])('calls one key with other %s a conflict', async (_, change) => {
    expect(await went([ingest(1), ingest(2, change)])).toEqual(['deduped', 'idempotency_conflict']);
  });

  test('what the producer may vary is no conflict', async () => {
    const params = { b: '2', a: '1' };
    expect(
      await went([
        ingest(1, { params }),
        ingest(2, { params: { a: '1', b: '2' }, createdAt: NOW - 5, labels: {}, campaignId: null }),
      ]),
    ).toEqual(['deduped', 'duplicate']);
  });

  test('two tenants with one messageId, or one idempotency key, never meet', async () => {
    const globex = { tenantId: tenantId('globex') };
    expect(
      await went([
        ingest(1),
        ingest(2, globex),
        ingest(3, { idempotencyKey: 'k', messageId: other }),
        ingest(4, { ...globex, idempotencyKey: 'k', messageId: other }),
        // An idempotency key that reads like another message's id.
        ingest(5, { idempotencyKey: request().messageId, messageId: other }),
      ]),
    ).toEqual(Array(5).fill('deduped'));
  });

  test('bad input takes no key, and Redis is asked once a batch, only for the rest', async () => {
    const ports = memory();
    expect(
      await went([ingest(1, { units: 0 }), ingest(2), ingest(3, { units: 0 })], ports),
    ).toEqual(['invalid', 'deduped', 'invalid']);
    expect(ports.asked.map((one) => one.map(({ at }) => at.offset))).toEqual([[2]]);
    await went([ingest(1, { units: 0 })], ports);
    expect(ports.asked).toHaveLength(1);
  });

  test('goes on without Redis: the partition’s set stands alone, and names what it can', async () => {
    const keyed = { idempotencyKey: 'k' };
    const batch = [
      ingest(1),
      ingest(2),
      ingest(3, { ...keyed, messageId: other }),
      ingest(4, keyed),
    ];
    const emitted = await run(batch, memory(null));
    expect(emitted.map(({ to }) => to)).toEqual(['deduped', 'refused', 'deduped', 'refused']);
    expect(emitted[1]).toMatchObject({
      value: { reason: 'duplicate', firstMessageId: request().messageId, firstSource: null },
    });
    expect(emitted[3]).toMatchObject({
      value: { reason: 'duplicate', firstMessageId: null, firstSource: null, retryable: false },
    });
  });

  test('Redis emptied in between: a key that passed here stays taken, and is counted', async () => {
    const ids = new Set<string>();
    expect(await went([ingest(1)], memory(), ids)).toEqual(['deduped']);
    const [again] = await run([ingest(2)], memory(), ids);
    if (again === undefined) throw new Error('it is refused');
    expect(again).toMatchObject({ to: 'refused', value: { reason: 'duplicate' } });
    const count = stage.metrics?.['partition_duplicates'];
    expect(count?.({ emit: [again] })).toBe(1);
    expect(count?.({ emit: await run([ingest(1), ingest(2)]) })).toBe(0);
  });

  test('what is refused takes no place in the partition’s set; what is parked does', async () => {
    const ids = new Set<string>();
    await run([ingest(1, { units: 0 })], memory(), ids);
    expect(ids.size).toBe(0);
    await run([ingest(2, { notBefore: NOW + HOUR })], memory(), ids);
    expect([...ids]).toEqual([keyHash(request()).toString('hex')]);
  });

  test('a null key becomes the messageId, from here on', async () => {
    const [passed] = await run([record('ingest', request(), 1, { key: null })]);
    expect(passed).toMatchObject({
      to: 'deduped',
      key: request().messageId,
      value: { key: request().messageId, generation: 0, dedupedAt: NOW },
    });
  });

  test('parks what is not due, once its key is taken', async () => {
    const notBefore = NOW + HOUR;
    const ports = memory();
    const [parked] = await run([ingest(1, { notBefore })], ports);
    expect(parked).toMatchObject({
      to: 'parked',
      value: { why: 'not_before', until: notBefore, routed: null, deduped: { key: 'user-key' } },
    });
    expect(await went([ingest(2, { notBefore })], ports)).toEqual(['duplicate']);
    expect(await went([ingest(3, { messageId: other, notBefore: NOW })], ports)).toEqual([
      'deduped',
    ]);
  });

  test("knows a tenant's own topic, also when the prefix reads like one", async () => {
    const own = (topic: string) =>
      record('ingest', request(), 1, { at: { topic, partition: 0, offset: 1 } });
    expect(await went([own('x.ingest.globex.p1')])).toEqual(['tenant_mismatch']);
    expect(await went([own('x.ingest.acme.p1')])).toEqual(['deduped']);
    const prefixed = dedupe({ recipientHash: recipientHash('s'), topicPrefix: 'ingest.' });
    const one = own('ingest.ingest.p1');
    const [fact] = await prefixed.gather(
      [one],
      { ...memory(), reservations: nobodyPaid },
      { ...view, stateOf: () => view.state },
    );
    expect(fact?.kind).toBe('seen');
  });

  test('a refusal for labels does not carry them on; an endless id is cut', async () => {
    const [refused] = await run([ingest(1, { labels: { a: 'x'.repeat(300) } })]);
    expect(refused).toMatchObject({ value: { reason: 'invalid', field: 'labels', labels: {} } });
    const [long] = await run([ingest(1, { messageId: messageId('y'.repeat(9_000)) })]);
    expect(asText(long).length).toBeLessThan(2_000);
  });

  test('a defect of ours is told to the producer', () => {
    expect(stage.failed?.(ingest(1), new Error('x'), view, null)).toMatchObject({
      emit: [{ to: 'refused', value: { reason: 'internal', settlement: { kind: 'none' } } }],
    });
  });
});

test('equal keys and contents hash equal, different ones differ', () => {
  const part = fc.string();
  fc.assert(
    fc.property(part, part, fc.option(part), fc.option(part), (a, b, k, l) => {
      const key = (id: string, idempotencyKey: string | null) =>
        keyHash({ tenantId: tenantId('acme'), messageId: messageId(id), idempotencyKey }).toString(
          'hex',
        );
      const same = k === null && l === null ? a === b : k === l;
      expect(key(a, k) === key(b, l)).toBe(same);
      const content = (template: string, value: string | null) =>
        contentHash(
          request({ templateId: template, params: value === null ? {} : { value } }),
        ).toString('hex');
      expect(content(a, k) === content(b, l)).toBe(a === b && k === l);
    }),
  );
});
