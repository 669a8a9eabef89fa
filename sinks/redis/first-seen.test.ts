import { randomBytes } from 'node:crypto';
import { createServer, connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { once } from 'node:events';
import type { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { keyHash } from '../../processors/dedupe/key.js';
import type { FirstSighting, Sighting } from '../../processors/dedupe/first-seen.js';
import { messageId, tenantId } from '../../schemas/brand.js';
import { connectRedis } from './client.js';
import { redisFirstSeen } from './first-seen.js';
import { firstSeenRestorer } from './restore-first-seen.js';

const HOUR_MS = 3_600_000;

const serverUrl = (): string => {
  const url = process.env['REDIS_URL'];
  if (url === undefined) throw new Error('REDIS_URL is not set: source .stack/env');
  return url;
};

let redis: Redis;
let admin: Redis;
let prefix: string;
let firstSeen: ReturnType<typeof layer>;
const onDegraded = vi.fn();
const onEmpty = vi.fn();
const onRecovered = vi.fn();

const layer = (topicPrefix = prefix) =>
  redisFirstSeen({ redis, topicPrefix, onDegraded, onEmpty, onRecovered });

beforeEach(async () => {
  vi.clearAllMocks();
  prefix = `test-${randomBytes(6).toString('hex')}.`;
  redis = connectRedis({ url: serverUrl() });
  admin = connectRedis({ url: serverUrl() });
  await admin.connect();
  firstSeen = layer();
});

afterEach(async () => {
  const keys = await ownKeys(`${prefix}*`);
  if (keys.length > 0) await admin.del(keys);
  redis.disconnect();
  admin.disconnect();
});

/** In steps: KEYS would hold up everyone else's commands on a full server. */
const ownKeys = async (pattern: string): Promise<string[]> => {
  const found: string[] = [];
  for await (const keys of admin.scanStream({ match: pattern, count: 10_000 }))
    found.push(...(keys as string[]));
  return found;
};

const id = (n: number) => messageId(`0190a000-0000-7000-8000-${String(n).padStart(12, '0')}`);

const sighting = (n: number, offset: number, over: Partial<Sighting> = {}): Sighting => ({
  key: Buffer.alloc(16, n),
  content: Buffer.alloc(8, n),
  tenantId: tenantId('acme'),
  messageId: id(n),
  createdAt: 0,
  at: { topic: `${prefix}ingest.p0`, partition: 3, offset },
  ...over,
});

const first = ({ content, messageId: message, at }: FirstSighting): FirstSighting => ({
  content,
  messageId: message,
  at,
});

const claim = async (...sightings: Sighting[]) =>
  (await firstSeen.claim(sightings, HOUR_MS)).map((one) => (one === null ? null : first(one)));

const firsts = (...sightings: Sighting[]) => sightings.map(first);

test('answers each newcomer with itself', async () => {
  const batch = [sighting(1, 10), sighting(2, 11)];
  expect(await claim(...batch)).toEqual(firsts(...batch));
});

test('names the first record, its message and its content, to all that come later', async () => {
  const earliest = sighting(1, 2 ** 40);
  await claim(earliest);
  const later = sighting(1, 11, {
    messageId: id(9),
    content: Buffer.alloc(8, 9),
    at: { topic: `${prefix}ingest.acme.p2`, partition: 0, offset: 5 },
  });
  expect(await claim(later)).toEqual(firsts(earliest));
});

test('lets a record that is read again find itself', async () => {
  await claim(sighting(1, 10));
  expect(await claim(sighting(1, 10))).toEqual(firsts(sighting(1, 10)));
});

test('within a batch the earlier record of a key is first', async () => {
  expect(await claim(sighting(1, 10), sighting(2, 11), sighting(1, 12))).toEqual(
    firsts(sighting(1, 10), sighting(2, 11), sighting(1, 10)),
  );
});

test('keeps keys of any bytes apart', async () => {
  const batch = Array.from({ length: 500 }, (_, n) => sighting(1, n, { key: randomBytes(16) }));
  expect(await claim(...batch)).toEqual(firsts(...batch));
  expect(await claim(...batch.map((one) => ({ ...one, at: { ...one.at, partition: 0 } })))).toEqual(
    firsts(...batch),
  );
});

test('two tenants with the same messageId or the same idempotency key never meet', async () => {
  const request = { messageId: id(1), idempotencyKey: null } as const;
  const keyed = { messageId: id(2), idempotencyKey: id(1) as string };
  const names = ['acme', 'globex'] as const;
  const keys = names.flatMap((tenantId) => [
    keyHash({ tenantId: tenantId as never, ...request }),
    keyHash({ tenantId: tenantId as never, ...keyed }),
  ]);
  const batch = keys.map((key, n) => sighting(n, n, { key }));
  expect(await claim(...batch)).toEqual(firsts(...batch));
});

test('forgets a key after the span, counted from its first acceptance', async () => {
  await claim(sighting(1, 10));
  await claim(sighting(1, 11));
  const [key] = await ownKeys(`${prefix}seen:*`);
  const left = await admin.pttl(key ?? '');
  expect(left).toBeGreaterThan(HOUR_MS - 60_000);
  expect(left).toBeLessThanOrEqual(HOUR_MS);
});

test('frees a key for the coordinates that hold it, and for no others', async () => {
  await claim(sighting(1, 10), sighting(2, 11));
  await firstSeen.release([sighting(1, 10), sighting(2, 12)]);
  expect(await claim(sighting(1, 20), sighting(2, 21))).toEqual(
    firsts(sighting(1, 20), sighting(2, 11)),
  );
});

test('installations with other prefixes never meet', async () => {
  await claim(sighting(1, 10));
  const other = layer(`${prefix}other.`);
  expect(await other.claim([sighting(1, 20)], HOUR_MS)).toMatchObject(firsts(sighting(1, 20)));
});

test('survives a Redis that forgot its scripts', async () => {
  await claim(sighting(1, 10));
  await admin.script('FLUSH');
  expect(await claim(sighting(1, 11))).toEqual(firsts(sighting(1, 10)));
  expect(onDegraded).not.toHaveBeenCalled();
});

describe('Redis emptied', () => {
  /** What a flush, an eviction or a server without its file leaves of this installation. */
  const lose = async (): Promise<void> => {
    await admin.del(await ownKeys(`${prefix}*`));
  };

  test('a new installation has lost nothing', async () => {
    await layer().begin(true, HOUR_MS);
    await claim(sighting(1, 10));
    expect(onEmpty).not.toHaveBeenCalled();
  });

  test('is told with the next batch, once, and since when', async () => {
    await layer().begin(true, HOUR_MS);
    await claim(sighting(1, 10));
    const before = Date.now();
    await lose();
    expect(await claim(sighting(1, 11))).toEqual(firsts(sighting(1, 11)));
    await claim(sighting(2, 12));
    expect(onEmpty).toHaveBeenCalledOnce();
    const [since] = onEmpty.mock.lastCall as [number];
    expect(Math.abs(since - before)).toBeLessThan(60_000);
    expect(onRecovered).not.toHaveBeenCalled();
  });

  test('is told before the first batch by a worker that starts then', async () => {
    await layer().begin(false, HOUR_MS);
    expect(onEmpty).toHaveBeenCalledOnce();
  });

  test('is over once it was rebuilt, without a batch to find out', async () => {
    await claim(sighting(1, 10));
    expect(onEmpty).toHaveBeenCalledOnce();
    await firstSeenRestorer(admin, prefix).whole();
    await vi.waitFor(
      () => {
        expect(onRecovered).toHaveBeenCalledOnce();
      },
      { timeout: 10_000, interval: 50 },
    );
  });

  test('is over by itself a span later: what it lost has expired', async () => {
    await admin.set(`${prefix}seen-since`, Date.now() - HOUR_MS);
    await claim(sighting(1, 10));
    expect(onEmpty).not.toHaveBeenCalled();
  });

  test('a new installation whose first records passed without Redis is not whole', async () => {
    const { hostname, port } = new URL(serverUrl());
    redis.disconnect();
    redis = connectRedis({ url: 'redis://127.0.0.1:1' });
    const away = layer();
    await away.begin(true, HOUR_MS);
    await away.claim([sighting(1, 10)], HOUR_MS);
    redis.options.host = hostname;
    redis.options.port = Number(port);
    await vi.waitFor(
      async () => {
        expect(await away.claim([sighting(2, 11)], HOUR_MS)).not.toEqual([null]);
      },
      { timeout: 10_000, interval: 50 },
    );
    expect(onEmpty).toHaveBeenCalledOnce();
  });
});

describe('Redis away', () => {
  test('a killed connection is dialled anew, and costs no answer', async () => {
    await claim(sighting(1, 10));
    await admin.client('KILL', 'ID', await redis.client('ID'));
    expect(await claim(sighting(1, 11))).toEqual(firsts(sighting(1, 10)));
    expect(onDegraded).not.toHaveBeenCalled();
  });

  test('slow is not away: an answer that takes a second is waited for', async () => {
    await claim(sighting(1, 10));
    await admin.client('PAUSE', 1_000, 'ALL');
    expect(await claim(sighting(1, 11))).toEqual(firsts(sighting(1, 10)));
    expect(onDegraded).not.toHaveBeenCalled();
  });

  test('our own thread standing still is not Redis being away', async () => {
    await claim(sighting(1, 10));
    const asked = claim(sighting(1, 11));
    setImmediate(() => {
      const end = performance.now() + 600;
      while (performance.now() < end);
    });
    expect(await asked).toEqual(firsts(sighting(1, 10)));
    expect(onDegraded).not.toHaveBeenCalled();
  });

  test('nobody listens: given its time once, then null facts at once, and it says how many', async () => {
    const closed = createServer().listen(0, '127.0.0.1');
    await once(closed, 'listening');
    const { port } = closed.address() as AddressInfo;
    closed.close();
    await once(closed, 'close');
    redis.disconnect();
    redis = connectRedis({ url: `redis://127.0.0.1:${port}` });
    firstSeen = layer();
    const from = performance.now();
    for (let n = 0; n < 20; n += 1)
      expect(await claim(sighting(1, n), sighting(2, n))).toEqual([null, null]);
    await firstSeen.release([sighting(1, 0)]);
    expect(performance.now() - from).toBeLessThan(3_500);
    expect(onDegraded).toHaveBeenCalledWith(
      expect.objectContaining({ code: 'redis_unavailable' }),
      2,
    );
  });

  test('Redis hangs: one time-out, then null facts at once until it answers again', async () => {
    const sockets = new Set<Socket>();
    let hung = false;
    const proxy = createServer((near) => {
      const { hostname, port } = new URL(serverUrl());
      const far = connect(Number(port), hostname);
      sockets.add(near).add(far);
      near.on('data', (bytes) => (hung ? undefined : far.write(bytes)));
      far.on('data', (bytes) => near.write(bytes));
      for (const socket of [near, far])
        socket
          .on('error', () => undefined)
          .on('close', () => [near, far].map((one) => one.destroy()));
    }).listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    redis.disconnect();
    redis = connectRedis({
      url: `redis://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    });
    firstSeen = layer();
    try {
      await firstSeen.begin(true, HOUR_MS);
      expect(await claim(sighting(1, 10))).toEqual(firsts(sighting(1, 10)));
      hung = true;
      const from = performance.now();
      for (let n = 0; n < 20; n += 1) expect(await claim(sighting(1, n))).toEqual([null]);
      expect(performance.now() - from).toBeLessThan(4_500);
      hung = false;
      await vi.waitFor(
        async () => {
          expect(await claim(sighting(1, 30))).toEqual(firsts(sighting(1, 10)));
        },
        { timeout: 10_000, interval: 50 },
      );
      expect(onRecovered).toHaveBeenCalledOnce();
    } finally {
      redis.disconnect();
      for (const socket of sockets) socket.destroy();
      proxy.close();
    }
  });

  test('a definite refusal stops the process: a person must act', async () => {
    const url = new URL(serverUrl());
    url.username = 'nobody';
    url.password = 'wrong';
    redis.disconnect();
    redis = connectRedis({ url: url.href });
    firstSeen = layer();
    await expect(claim(sighting(1, 10))).rejects.toMatchObject({ code: 'redis_refused' });
  });
});
