import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { PassRequest, Passes } from '../../processors/reentry/passes.js';
import { messageId, tenantId } from '../../schemas/brand.js';
import { postgresAttempts } from './attempts.js';
import { partitionOwnership } from './partition-ownership.js';
import { postgresPasses } from './passes.js';
import { freshDatabase } from './testing/fresh-database.js';
import type { FreshDatabase } from './testing/fresh-database.js';
import { funded } from './testing/funded.js';
import { ownedReservations } from './testing/owned-reservations.js';

const NOON = Date.UTC(2026, 4, 20, 12);
const DAY = 86_400_000;

let database: FreshDatabase;
let passes: Passes;
let attempts: ReturnType<typeof postgresAttempts>;
let tests = 0;
/** Names of each test's own. */
let tenant: ReturnType<typeof tenantId>;
let feedback: { readonly topic: string; readonly partition: number };

beforeAll(async () => {
  database = await freshDatabase('passes_schema');
});
afterAll(() => database.drop());

beforeEach(async () => {
  tests += 1;
  tenant = tenantId(`t${tests}`);
  const consumer = `attempts-${tests}`;
  feedback = { topic: `feedback.${tests}`, partition: 0 };
  attempts = postgresAttempts(database, consumer);
  const ownership = partitionOwnership(database);
  await ownership.takeOver(
    [0, 1].map((partition) => ({ topic: 'again.budget-reserve.p1', partition })),
  );
  passes = postgresPasses(database, [consumer], ownership);
  await attempts.loadOffsets([{ ...feedback, beginning: 0 }]);
  await attempts.caughtUp([feedback], NOON);
});

const id = (n: number) => messageId(`00000000-0000-4000-8000-${String(n).padStart(12, '0')}`);

/** Message n of a replay to budget-reserve, as the record at this offset of again.*. */
const ask = (n: number, offset: number, over: Partial<PassRequest> = {}): PassRequest => ({
  tenantId: tenant,
  messageId: id(n),
  generation: 0,
  stage: 'budget-reserve',
  attempt: 0,
  createdAt: NOON,
  at: { topic: 'again.budget-reserve.p1', partition: 0, offset },
  origin: { topic: 'deduped.p1', partition: 0, offset: n },
  releaseNo: 0,
  runId: 'run-1',
  startedAt: NOON,
  ...over,
});

const kinds = async (...batch: PassRequest[]): Promise<string[]> =>
  (await passes.admit(batch)).map(({ kind }) => kind);

const reserve = async (n: number, generation = 0, createdAt = NOON): Promise<void> => {
  await funded(database, {
    transferId: `grant-${tests}-${n}-${generation}`,
    tenantId: tenant,
    businessLine: 'promo',
    currency: 'CNY',
    cashMicros: 100n,
    units: 1n,
  });
  const [decision] = await ownedReservations(database).reserve([
    {
      tenantId: tenant,
      businessLine: 'promo',
      messageId: id(n),
      generation,
      createdAt,
      at: { topic: 'ingest.p1', partition: 0, offset: n },
      cashMicros: 100n,
      units: 1,
      currency: 'CNY',
      unitsCap: null,
      cashCapMicros: null,
    },
  ]);
  expect(decision).toMatchObject({ kind: 'reserved' });
};

/** As the attempts sink stores it. */
const attempted = async (n: number, attempt = 1): Promise<void> => {
  const text = `insert into attempts (tenant_id, message_id, generation, attempt, record_key, lane, channel, provider,
      business_line, template_id, recipient_hash, labels, created_at, attempted_at, occurred_at, state, terminal, sequence)
    values ($1, $2, 0, $3, 'k', 'p1', 'sms', 'first', 'promo', 't', 'h', '{}', now(), now(), now(), 'failed', false, 1)`;
  await database.query({ name: 'attempted', text }, [tenant, id(n), attempt]);
};

describe('a message comes back in', () => {
  test('once: by the record that asks first, whenever that is read again, and by no other', async () => {
    expect(await kinds(ask(1, 0), ask(1, 1), ask(2, 2))).toEqual(['pass', 'passed', 'pass']);
    expect(await kinds(ask(1, 0), ask(1, 1), ask(2, 2), ask(2, 3))).toEqual([
      'pass',
      'passed',
      'pass',
      'passed',
    ]);
    const elsewhere = { topic: 'again.budget-reserve.p1', partition: 1, offset: 0 };
    expect(await kinds(ask(1, 0, { at: elsewhere }))).toEqual(['passed']);
  });

  test('once a generation, stage and tenant', async () => {
    const other = { tenantId: tenantId(`${tenant}b`) };
    expect(await kinds(ask(1, 0), ask(1, 1, { generation: 1 }), ask(1, 2, other))).toEqual([
      'pass',
      'pass',
      'pass',
    ]);
  });

  test('by one of 16 who ask at once', async () => {
    const race = Array.from({ length: 16 }, (_, n) =>
      kinds(ask(1, n), ask(2, 100 + n), ask(3, 200 + n)),
    );
    const answers = (await Promise.all(race)).flat();
    expect(answers.filter((kind) => kind === 'pass')).toHaveLength(3);
    expect(answers.filter((kind) => kind === 'passed')).toHaveLength(45);
  });

  test('only once the message index has passed the run’s start; a release does not wait for it', async () => {
    const later = { startedAt: NOON + 1 };
    const released = { ...later, releaseNo: 1 };
    expect(await kinds(ask(1, 0, later), ask(2, 1), ask(3, 2, released))).toEqual([
      'early',
      'pass',
      'pass',
    ]);
    await attempts.caughtUp([feedback], NOON + 1);
    expect(await kinds(ask(1, 3, later))).toEqual(['pass']);
  });

  test('not while one partition of the index is not known to have got anywhere', async () => {
    await attempts.loadOffsets([{ ...feedback, partition: 1, beginning: 0 }]);
    expect(await kinds(ask(1, 0))).toEqual(['early']);
  });
});

describe('a replay of a message passes nothing', () => {
  test('that the ledger has reserved, whatever became of it, also when asked again after its own reservation', async () => {
    await reserve(1);
    expect(await kinds(ask(1, 0), ask(2, 1))).toEqual(['reserved', 'pass']);
    await reserve(2);
    // The record that passed is read again after an abort: it still is the one that passed.
    expect(await kinds(ask(2, 1), ask(2, 2))).toEqual(['pass', 'passed']);
  });

  test('whose retries are running: attempts were made in this generation, the next is free', async () => {
    await attempted(1);
    expect(await kinds(ask(1, 0), ask(1, 1, { generation: 1 }))).toEqual(['attempted', 'pass']);
    await reserve(1);
    const send = { stage: 'send', attempt: 2 } as const;
    expect(await kinds(ask(1, 2, send))).toEqual(['reserved']);
  });

  test('whose day the ledger has detached, in any generation', async () => {
    const old = NOON - 40 * DAY;
    await reserve(1, 0, old);
    const detach = `update reservation_days set attached = false where day = '2026-04-10'`;
    await database.query({ name: 'detach-day', text: detach });
    const text = `alter table reservations detach partition reservations_20260410`;
    await database.query({ name: 'detach', text });
    expect(
      await kinds(
        ask(1, 0, { createdAt: old }),
        ask(1, 1, { createdAt: old, generation: 1 }),
        ask(1, 2, { createdAt: old, stage: 'send', attempt: 1 }),
        ask(2, 3, { createdAt: old - DAY }),
        ask(3, 4),
      ),
    ).toEqual(['detached', 'detached', 'detached', 'detached', 'pass']);
  });
});

describe('a release', () => {
  const release = { releaseNo: 1 };

  test('passes once for each parking; the second parked record of a message goes to the ledger', async () => {
    const other = { ...release, origin: { topic: 'parked.p1', partition: 0, offset: 77 } };
    expect(await kinds(ask(1, 0, release), ask(1, 1, release), ask(1, 2, other))).toEqual([
      'pass',
      'passed',
      'twin',
    ]);
    expect(await kinds(ask(1, 3, { releaseNo: 2 }))).toEqual(['pass']);
  });

  test('at send makes the attempt that was parked: with its money, and only if it was not made', async () => {
    const send = { ...release, stage: 'send', attempt: 2 } as const;
    expect(await kinds(ask(1, 0, send))).toEqual(['unpaid']);
    await reserve(1);
    await attempted(1);
    expect(await kinds(ask(1, 1, send), ask(1, 2, send))).toEqual(['pass', 'passed']);
    await attempted(1, 2);
    expect(await kinds(ask(1, 3, { ...send, releaseNo: 2 }))).toEqual(['attempted']);
  });
});
