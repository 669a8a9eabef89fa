import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { routed } from '../../processors/send/fixtures.js';
import type { MessageRequest, MessageRouted, Parked } from '../../schemas/generated/records.js';
import { postgresLedger } from '../../sinks/postgres/ledger.js';
import { postgresTransfers } from '../../sinks/postgres/transfers.js';
import type { Installation } from '../installation/installation.js';
import { until } from '../installation/until.js';
import { WorkerProcess } from '../installation/worker-process.js';
import { deadLetter } from '../../topologies/runtime/dead-letters.js';
import { withAdmin } from '../cli/kafka-admin.js';
import type { RecoveryReport } from '../replay/run.js';
import type { Said } from '../testing/command-line.js';
import { commandLine } from '../testing/command-line.js';
import { installAcceptance, writeAll, writeRequests } from './fixture.js';
import { Outcomes } from './outcomes.js';
import { requestOf } from './requests.js';

const LANE = 'p1';
const HOUR_MS = 3_600_000;
/** Refused for want of cash: good ones, one that was sent again and delivered, one that has expired since. */
const POOR = 12;

let installation: Installation;
let outcomes: Outcomes;
let worker: WorkerProcess;
let millrace: ReturnType<typeof commandLine>;
let poor: readonly MessageRequest[];

const write = (requests: readonly MessageRequest[]): Promise<void> =>
  writeRequests(installation, LANE, requests);

/** As it was sent. */
const routedOf = (request: MessageRequest): MessageRouted => {
  const value = routed({ attempt: 2, expiresAt: Date.now() + HOUR_MS });
  const deduped = { ...value.reserved.deduped, request, key: request.messageId };
  return { ...value, reserved: { ...value.reserved, deduped } };
};

/** The account without cash gets some. */
const topUp = async (): Promise<void> => {
  await postgresTransfers(installation.database).grant({
    transferId: 'test/top-up',
    tenantId: 'hooli',
    businessLine: 'no-cash',
    currency: 'CNY',
    cashMicros: 1_000_000n,
    units: 0n,
  });
};

beforeAll(async () => {
  installation = await installAcceptance('redrive');
  millrace = commandLine(installation.variables);
  outcomes = await Outcomes.follow(installation);
  worker = await WorkerProcess.start(installation.variables, []);
  const line = { tenantId: 'hooli', businessLine: 'no-cash' } as unknown as Partial<MessageRequest>;
  poor = Array.from({ length: POOR }, (_, n) =>
    requestOf({ ...line, ...(n === 0 && { expiresAt: Date.now() + 8_000 }) }),
  );
  const bad = requestOf({ templateId: 'nobody-knows' });
  const good = requestOf();
  await write([...poor, bad, good, good]);
  await outcomes.until('all to end', () => outcomes.count >= POOR + 3);
  await topUp();
  // Its producer sent it again meanwhile, as it may: the refusal said retryable.
  const again = poor[1];
  if (again !== undefined) await write([again]);
  await outcomes.until('it to be sent', () => outcomes.ends(again?.messageId ?? '').length === 1);
  await until('its money to be posted', 30_000, async () => {
    const { cash } = await postgresLedger(installation.database).totals();
    return cash.get('CNY')?.pending === 0n;
  });
  await until('the first to expire', 30_000, () => (poor[0]?.expiresAt ?? 0) < Date.now());
}, 180_000);

afterAll(async () => {
  await worker.stop();
  await outcomes.close();
  await installation.remove();
}, 120_000);

const reportOf = (said: Said): RecoveryReport => {
  expect(said).toMatchObject({ code: 0, err: '' });
  const report = said.json() as RecoveryReport;
  expect(report.addsUp).toBe(true);
  return report;
};

const deliveredUnder = (generation: number): number =>
  outcomes.feedback.filter(({ value }) => value.terminal && value.generation === generation).length;

describe('millrace redrive --from refused', () => {
  test('says what would go on and what stays, and why; with --apply that is what happens, once', async () => {
    const command = ['redrive', '--from', 'refused', '--why', 'budget_cash', '--json'];
    const dry = reportOf(await millrace(...command));
    expect(dry.figures).toMatchObject({
      // The request that was sent twice is a duplicate; the bad one was refused for something else.
      read: POOR + 2,
      filtered: 2,
      expired: 1,
      delivered: 1,
      wouldPass: POOR - 2,
    });
    expect(dry.census).toMatchObject({
      tenants: { hooli: POOR - 2 },
      channels: { app_push: POOR - 2 },
      cashMicros: { CNY: (POOR - 2) * 2_000 },
    });

    const done = reportOf(await millrace(...command, '--reason', 'topped up', '--apply'));
    expect(done.figures).toMatchObject({ written: POOR - 2, expired: 1, delivered: 1 });
    expect(done.outcome).toEqual({
      lookedAt: true,
      letIn: POOR - 2,
      alreadyDone: 0,
      deadLettered: 0,
    });
    await outcomes.until('them to be sent', () => deliveredUnder(1) === POOR - 2);
    await until('budget to be posted for each', 30_000, async () => {
      const accounts = await postgresLedger(installation.database).balances();
      const account = accounts.find(({ businessLine }) => businessLine === 'no-cash');
      return account?.cash.posted === BigInt(POOR - 1) * 2_000n;
    });

    const again = reportOf(await millrace(...command));
    expect(again.figures).toMatchObject({ delivered: POOR - 1, expired: 1 });
    expect(again.figures['wouldPass'] ?? 0).toBe(0);
    const [action] = (await millrace('actions', '--json')).json() as readonly object[];
    expect(action).toMatchObject({
      command: 'redrive',
      reason: 'topped up',
      state: 'done',
      what: { asked: { from: 'refused', why: 'budget_cash' } },
    });
  }, 120_000);

  test('never brings back duplicates, whatever is asked', async () => {
    const { figures } = reportOf(
      await millrace('redrive', '--from', 'refused', '--why', 'duplicate', '--json'),
    );
    expect(figures).toMatchObject({ final: 1, filtered: POOR + 1 });
    expect(figures['wouldPass'] ?? 0).toBe(0);
  }, 60_000);

  test('brings back what has expired only where told, with the time it is given', async () => {
    const { outcome } = reportOf(
      await millrace(
        ...['redrive', '--from', 'refused', '--why', 'budget_cash', '--json'],
        ...['--include-expired', '--expires-in', '1h', '--reason', 'still wanted', '--apply'],
      ),
    );
    expect(outcome).toMatchObject({ lookedAt: true, letIn: 1 });
    const id = poor[0]?.messageId ?? '';
    await outcomes.until('it to be sent', () => outcomes.ends(id).length === 1);
  }, 90_000);
});

describe('millrace redrive --from dead-letters', () => {
  test('original bytes go back to their stage once they can be decoded; what still cannot stays, and is counted', async () => {
    const topic = installation.names.ingest(LANE);
    const { encode } = installation.codecs.of('MessageRequest', topic);
    const request = requestOf();
    const value = encode(request);
    const letter = {
      'millrace-topic': Buffer.from(topic),
      'millrace-partition': Buffer.from('0'),
      'millrace-offset': Buffer.from('0'),
      'millrace-stage': Buffer.from('dedupe'),
      'millrace-error-code': Buffer.from('unknown_schema'),
      'millrace-error-message': Buffer.from('nobody knew its schema then'),
    };
    const written = (of: Buffer) => ({
      topic: installation.names.deadLetters,
      partition: null,
      key: request.messageId,
      value: of,
      headers: letter,
    });
    await writeAll(installation, [written(value), written(Buffer.from('rubbish'))]);
    const command = ['redrive', '--from', 'dead-letters', '--code', 'unknown_schema', '--json'];
    const dry = reportOf(await millrace(...command));
    expect(dry.figures).toMatchObject({ read: 2, undecodable: 1, wouldPass: 1 });
    const done = reportOf(await millrace(...command, '--reason', 'registered', '--apply'));
    expect(done.outcome).toMatchObject({ lookedAt: true, letIn: 1 });
    await outcomes.until('it to be sent', () => outcomes.ends(request.messageId).length === 1);
    expect(outcomes.ends(request.messageId)).toMatchObject([{ generation: 1 }]);
  }, 90_000);

  test('a letter that was too large to hold its record goes back with the bytes of its topic; where those are gone it stays, and is counted', async () => {
    const { names, environment } = installation;
    const topic = names.ingest('p2');
    const { encode } = installation.codecs.of('MessageRequest', topic);
    const expired = (): MessageRequest => {
      const now = Date.now();
      return requestOf({ createdAt: now - 2_000, expiresAt: now - 1_000 });
    };
    const [gone, there] = [expired(), expired()];
    const value = encode(there);
    await writeAll(
      installation,
      [encode(gone), value].map((of) => ({ topic, partition: 0, key: 'one', value: of })),
    );
    await outcomes.until('them to be refused', () =>
      [gone, there].every(({ messageId }) => outcomes.refusals(messageId).length === 1),
    );
    const letters = [0, 1].map((offset) => {
      const at = { topic, partition: 0, offset };
      const raw = { at, key: Buffer.from('one'), value, headers: {}, timestamp: Date.now() };
      const most = value.length;
      return deadLetter(raw, names.deadLetters, 'route', 'output_too_large', 'a test', most);
    });
    expect(letters).toMatchObject([{ value: null }, { value: null }]);
    await writeAll(installation, letters);
    await withAdmin(environment.kafka, async (admin) => {
      // kafkajs looks for leaders only among topics that it was asked about before.
      await admin.fetchTopicOffsets(topic);
      await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '1' }] });
    });
    const command = [
      ...['redrive', '--from', 'dead-letters', '--code', 'output_too_large', '--json'],
      ...['--include-expired', '--expires-in', '1h'],
    ];
    expect(reportOf(await millrace(...command)).figures).toMatchObject({ gone: 1, wouldPass: 1 });
    const done = reportOf(await millrace(...command, '--reason', 'made larger', '--apply'));
    expect(done.figures).toMatchObject({ gone: 1, written: 1 });
    expect(done.outcome).toMatchObject({ lookedAt: true, letIn: 1 });
    await outcomes.until('it to be sent', () => outcomes.ends(there.messageId).length === 1);
    expect(outcomes.ends(there.messageId)).toMatchObject([{ generation: 1 }]);
    expect(outcomes.ends(gone.messageId)).toEqual([]);
  }, 90_000);
});

describe('millrace redrive --from parked', () => {
  test('releases what waits for a person, once; what waits for a time, or may have arrived, stays', async () => {
    const { names, codecs } = installation;
    const topic = names.parked(LANE);
    const { encode } = codecs.of('Parked', topic);
    const parkedOf = (request: MessageRequest, change: Partial<Parked> = {}): Parked => ({
      deduped: { request, generation: 0, key: request.messageId, dedupedAt: Date.now() },
      routed: null,
      until: null,
      why: 'hold',
      detail: 'a test holds it',
      parkedAt: Date.now(),
      ...change,
    });
    const held = [requestOf(), requestOf()];
    const later = requestOf({ notBefore: Date.now() + HOUR_MS });
    const perhaps = requestOf();
    await writeAll(
      installation,
      [
        ...held.map((request) => parkedOf(request)),
        parkedOf(requestOf(), { why: 'policy' }),
        parkedOf(later, { until: Date.now() + HOUR_MS, why: 'not_before' }),
        // A try of it timed out before it was parked.
        parkedOf(perhaps, { deduped: null, routed: { ...routedOf(perhaps), ambiguous: true } }),
      ].map((value) => ({
        topic,
        partition: null,
        key: (value.deduped ?? value.routed?.reserved.deduped)?.key ?? '',
        value: encode(value),
      })),
    );
    const command = ['redrive', '--from', 'parked', '--json'];
    await until('the releaser to have taken them', 60_000, async () => {
      const { figures } = (await millrace(...command)).json() as RecoveryReport;
      return figures['ahead'] === 0;
    });
    expect(reportOf(await millrace(...command)).figures).toMatchObject({
      read: 5,
      scheduled: 1,
      ambiguous: 1,
      wouldPass: 3,
    });
    const daring = reportOf(await millrace(...command, '--include-ambiguous')).figures;
    // Not left out any more; that nothing was ever reserved for it is another matter.
    expect(daring).toEqual({ read: 5, scheduled: 1, ahead: 0, wouldPass: 3, wouldBeRefused: 1 });
    const only = [...command, '--why', 'hold', '--reason', 'cleared', '--apply'];
    expect(reportOf(await millrace(...only)).outcome).toMatchObject({ lookedAt: true, letIn: 2 });
    await outcomes.until('them to be sent', () =>
      held.every(({ messageId }) => outcomes.ends(messageId).length === 1),
    );
    expect(held.flatMap(({ messageId }) => outcomes.ends(messageId))).toMatchObject([
      { generation: 0 },
      { generation: 0 },
    ]);
    expect(reportOf(await millrace(...only)).outcome).toMatchObject({ letIn: 0, alreadyDone: 2 });
    for (const { messageId } of [later, perhaps]) expect(outcomes.ends(messageId)).toEqual([]);
  }, 120_000);
});

describe('what cannot be done is said in a line', () => {
  test.each([
    { it: 'no source', args: [], says: '--from dead-letters, refused, parked' },
    { it: 'a source that is none', args: ['--from', 'feedback'], says: 'dead-letters, refused' },
    {
      it: 'a reason to choose by in place of one to act for',
      args: ['--from', 'refused', '--reason', 'budget_cash'],
      says: '--why budget_cash',
    },
    {
      it: 'a reason that there is not',
      args: ['--from', 'refused', '--why', 'broke'],
      says: 'budget_cash, budget_pv',
    },
    { it: 'a code of refusals', args: ['--from', 'refused', '--code', 'x'], says: '--why' },
    {
      it: 'time for what is not included',
      args: ['--from', 'refused', '--expires-in', '1h'],
      says: '--include-expired',
    },
    {
      it: 'a run and a filter',
      args: ['--resume', '00000000-0000-0000-0000-000000000000', '--tenant', 'acme'],
      says: 'with what was recorded',
    },
  ])('$it', async ({ args, says }) => {
    const said = await millrace('redrive', ...args);
    expect(said.err).toContain(says);
    expect(said.code).toBe(2);
  });
});
