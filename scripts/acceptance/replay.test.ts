import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { MessageDeduped, MessageRequest } from '../../schemas/generated/records.js';
import { postgresLedger } from '../../sinks/postgres/ledger.js';
import { type Installation, MILLRACE } from '../installation/installation.js';
import { until } from '../installation/until.js';
import { WorkerProcess } from '../installation/worker-process.js';
import type { RecoveryReport } from '../replay/run.js';
import type { Said } from '../testing/command-line.js';
import { commandLine } from '../testing/command-line.js';
import { installAcceptance, writeAll, writeRequests } from './fixture.js';
import { everything, Outcomes } from './outcomes.js';
import { requestOf } from './requests.js';
import { Traffic } from './traffic.js';

const COUNT = 120;
const LOST = 30;
const LANE = 'p1';
const PRICE = 2_000n;

let installation: Installation;
let outcomes: Outcomes;
let worker: WorkerProcess;
let millrace: ReturnType<typeof commandLine>;
let delivered: readonly MessageRequest[];
/** On deduped, and never reserved: as after a ledger that was restored from an older state. */
let lost: readonly MessageRequest[];

beforeAll(async () => {
  installation = await installAcceptance('replay');
  millrace = commandLine(installation.variables);
  outcomes = await Outcomes.follow(installation);
  worker = await WorkerProcess.start(installation.variables, []);
  const traffic = await Traffic.open(installation);
  delivered = await traffic.write(COUNT, ['app_push'], [LANE]);
  await traffic.close();
  await outcomes.until('everything to be sent', () => ends(0) === COUNT);
  await settled(BigInt(COUNT) * PRICE);

  const topic = installation.names.deduped(LANE);
  await installation.codecs.open([{ topic, record: 'MessageDeduped' }]);
  const { encode } = installation.codecs.of('MessageDeduped', topic);
  lost = Array.from({ length: LOST }, (_, n) =>
    requestOf({ campaignId: 'lost', maxCostMicros: n < 10 ? 2_000n : 5_000n }),
  );
  await writeAll(
    installation,
    lost.map((request) => {
      const key = request.messageId;
      const value: MessageDeduped = { request, generation: 0, key, dedupedAt: Date.now() };
      return { topic, partition: null, key, value: encode(value) };
    }),
  );
}, 180_000);

afterAll(async () => {
  await worker.stop();
  await outcomes.close();
  await installation.remove();
}, 120_000);

const ends = (generation: number): number =>
  outcomes.feedback.filter(({ value }) => value.terminal && value.generation === generation).length;

const settled = (micros: bigint): Promise<void> =>
  until(`${micros.toString()} micros posted`, 30_000, async () => {
    const cny = (await postgresLedger(installation.database).totals()).cash.get('CNY');
    return cny?.posted === micros && cny.pending === 0n;
  });

interface RunningAction {
  readonly id: string;
  readonly reason: string;
  readonly state: string;
  readonly progress: { readonly figures: { readonly read?: number } } | null;
}

const reportOf = (said: Said): RecoveryReport => {
  expect(said).toMatchObject({ code: 0, err: '' });
  const report = said.json() as RecoveryReport;
  expect(report.addsUp).toBe(true);
  return report;
};

const again = (): Promise<number> =>
  everything(
    installation,
    (['dedupe', 'budget-reserve'] as const).map((stage) => installation.names.again(stage, LANE)),
  ).then(({ length }) => length);

describe('millrace replay', () => {
  test('without --apply resolves the range, counts by what would happen, prices it, and writes nothing', async () => {
    const done = reportOf(await millrace('replay', '--from', 'ingest', '--since', '1h', '--json'));
    expect(done).toMatchObject({ applied: false, run: null, finished: true });
    expect(done.figures).toEqual({ read: COUNT, ahead: 0, wouldBeRefused: 0, alreadyDone: COUNT });
    expect(done.range.reduce((sum, { from, to }) => sum + to - from, 0)).toBe(COUNT);

    const { figures, census } = reportOf(
      await millrace('replay', '--from', 'deduped.p1', '--since', '1h', '--json'),
    );
    expect(figures).toEqual({
      read: COUNT + LOST,
      ahead: 0,
      wouldBeRefused: 0,
      alreadyDone: COUNT,
      wouldPass: LOST,
    });
    expect(census).toMatchObject({
      tenants: { acme: LOST },
      channels: { app_push: LOST },
      lanes: { p1: LOST },
      cashMicros: { CNY: LOST * 2_000 },
      units: LOST,
      unpriced: 0,
    });
    expect(await again()).toBe(0);
    expect(await millrace('actions')).toMatchObject({ code: 0 });
  }, 60_000);

  test('with --apply leaves alone what is done: nothing is sent or debited; every record is accounted for, the action recorded', async () => {
    const feedback = outcomes.feedback.length;
    const { figures, outcome, run } = reportOf(
      await millrace(
        ...['replay', '--from', 'ingest.p1', '--since', '1h', '--to', 'dedupe'],
        ...['--reason', 'a test', '--apply', '--json'],
      ),
    );
    expect(figures).toEqual({ read: COUNT, written: COUNT, ahead: 0 });
    expect(outcome).toEqual({ lookedAt: true, letIn: 0, alreadyDone: COUNT, deadLettered: 0 });
    await settled(BigInt(COUNT) * PRICE);
    expect(outcomes.feedback.length).toBe(feedback);
    const [action] = (await millrace('actions', '--json')).json() as readonly object[];
    expect(action).toMatchObject({ id: run, command: 'replay', reason: 'a test', state: 'done' });
  }, 90_000);

  test('killed with SIGKILL while it writes, and gone on with once it is known to be dead: it adds up, nothing is sent or debited', async () => {
    const feedback = outcomes.feedback.length;
    const args = ['--from', 'ingest.p1', '--since', '1h', '--to', 'dedupe', '--rate', '15/s'];
    const killed = spawn(
      process.execPath,
      [MILLRACE, 'replay', ...args, '--reason', 'to be killed', '--apply', '--json'],
      { env: installation.variables, stdio: 'ignore' },
    );
    const ended = once(killed, 'exit');
    let run = '';
    await until('it to have come some way', 30_000, async () => {
      const [newest] = (await millrace('actions', '--json')).json() as readonly RunningAction[];
      if (newest?.reason !== 'to be killed') return false;
      run = newest.id;
      return (newest.progress?.figures.read ?? 0) > 0;
    });
    killed.kill('SIGKILL');
    expect(await ended).toEqual([null, 'SIGKILL']);

    const resume = ['replay', '--apply', '--resume', run, '--json'];
    const tooSoon = await millrace(...resume);
    expect(tooSoon.code).not.toBe(0);
    expect(tooSoon.err).toContain('one that died is taken up a minute after its last sign of life');
    await installation.database.query(
      {
        name: 'age-action',
        text: `update operator_actions set updated_at = updated_at - interval '1 minute'
               where action_id = $1`,
      },
      [run],
    );
    const { figures, outcome } = reportOf(await millrace(...resume));
    expect(figures).toEqual({ read: COUNT, written: COUNT, ahead: 0 });
    expect(outcome).toMatchObject({ lookedAt: true, letIn: 0, deadLettered: 0 });
    await settled(BigInt(COUNT) * PRICE);
    expect(outcomes.feedback.length).toBe(feedback);
  }, 90_000);

  test('brings back what was lost where --where holds; interrupted and gone on with, its report adds up over both parts', async () => {
    const where = 'request.campaignId == "lost" && request.maxCostMicros > money("0.002")';
    const running = millrace(
      ...['replay', '--from', 'deduped.p1', '--since', '1h', '--where', where, '--rate', '15/s'],
      ...['--reason', 'the ledger was restored', '--apply', '--json'],
    );
    await until('it to have come some way', 30_000, async () => {
      const [newest] = (await millrace('actions', '--json')).json() as readonly RunningAction[];
      return newest?.state === 'running' && (newest.progress?.figures.read ?? 0) > 0;
    });
    process.emit('SIGINT');
    const first = await running;
    expect(first.code).toBe(1);
    const part = first.json() as RecoveryReport;
    expect(part.finished).toBe(false);
    expect(part.figures['read']).toBeLessThan(COUNT + LOST);
    expect(first.err).toContain(`--resume ${part.run ?? ''}`);

    const whole = reportOf(
      await millrace('replay', '--apply', '--resume', part.run ?? '', '--json'),
    );
    expect(whole.figures).toEqual({
      read: COUNT + LOST,
      filtered: COUNT + 10,
      written: LOST - 10,
      ahead: 0,
    });
    expect(whole.outcome).toEqual({
      lookedAt: true,
      letIn: LOST - 10,
      alreadyDone: 0,
      deadLettered: 0,
    });
    await outcomes.until('the lost to be sent', () => ends(0) === COUNT + LOST - 10);
    await settled(BigInt(COUNT + LOST - 10) * PRICE);
  }, 120_000);

  test('--again delivers under the next generation, paid for anew; the same command twice delivers once', async () => {
    const [one] = delivered;
    if (one === undefined) throw new Error('nothing was delivered');
    const command = [
      ...['replay', '--from', 'ingest.p1', '--since', '1h', '--again', '--json'],
      ...['--where', `request.messageId == "${one.messageId}"`],
    ];
    const dry = reportOf(await millrace(...command));
    expect(dry.figures).toMatchObject({ filtered: COUNT - 1, wouldPass: 1 });
    const before = ends(0);
    const first = reportOf(await millrace(...command, '--reason', 'lost on its way', '--apply'));
    expect(first.outcome).toMatchObject({ lookedAt: true, letIn: 1, alreadyDone: 0 });
    await outcomes.until('it to be sent again', () => ends(1) === 1);
    const second = reportOf(await millrace(...command, '--reason', 'lost on its way', '--apply'));
    expect(second.outcome).toMatchObject({ lookedAt: true, letIn: 0, alreadyDone: 1 });
    expect(outcomes.ends(one.messageId).map(({ generation }) => generation)).toEqual([0, 1]);
    expect(ends(0)).toBe(before);
    await settled(BigInt(COUNT + LOST - 10 + 1) * PRICE);
  }, 120_000);

  test('a record for which --where has no answer is left out, counted and named', async () => {
    const said = await millrace(
      ...['replay', '--from', 'ingest.p1', '--since', '1h', '--json'],
      ...['--where', 'request.maxCostMicros > 5'],
    );
    expect(said.code).toBe(0);
    expect((said.json() as RecoveryReport).figures).toEqual({
      read: COUNT,
      unanswered: COUNT,
      ahead: 0,
      wouldBeRefused: 0,
    });
    expect(said.err).toMatch(/ingest\.p1\/\d\/\d+: no such overload/);
  }, 60_000);

  test('what was refused stays refused: a duplicate under a messageId of its own is never delivered', async () => {
    const topic = installation.names.ingest('p2');
    const { encode } = installation.codecs.of('MessageRequest', topic);
    const both = [requestOf({ idempotencyKey: 'twin' }), requestOf({ idempotencyKey: 'twin' })];
    await writeAll(
      installation,
      both.map((value) => ({ topic, partition: 0, key: 'one', value: encode(value) })),
    );
    const before = ends(0) + 1;
    const refused = (): number => outcomes.refused.length;
    await outcomes.until('both to end', () => refused() === 1 && ends(0) === before);
    const { figures, outcome } = reportOf(
      await millrace(
        ...['replay', '--from', 'ingest.p2', '--since', '1h'],
        ...['--reason', 'a test', '--apply', '--json'],
      ),
    );
    expect(figures).toMatchObject({ read: 2, refused: 1, written: 1 });
    expect(outcome).toMatchObject({ lookedAt: true, letIn: 0, alreadyDone: 1 });
    expect(ends(0)).toBe(before);
    expect(refused()).toBe(1);
  }, 90_000);

  test('what waits for its notBefore stays, whoever asks, and comes by itself at its time', async () => {
    const notBefore = Date.now() + 45_000;
    const one = requestOf({ notBefore });
    await writeRequests(installation, 'p3', [one]);
    await outcomes.until('it to be parked', () => outcomes.parked.length === 1);
    const command = ['replay', '--from', 'ingest.p3', '--since', '1h', '--json'];
    for (const how of [[], ['--again']]) {
      const { figures } = reportOf(
        await millrace(...command, ...how, '--reason', 'a test', '--apply'),
      );
      expect(figures).toEqual({ read: 1, notYet: 1, written: 0, ahead: 0 });
    }
    expect(Date.now()).toBeLessThan(notBefore);
    await outcomes.until('it to be sent', () => outcomes.ends(one.messageId).length > 0);
    expect(outcomes.ends(one.messageId)).toMatchObject([{ state: 'accepted', generation: 0 }]);
    expect(outcomes.ends(one.messageId)[0]?.attemptedAt).toBeGreaterThanOrEqual(notBefore);
    expect(outcomes.refusals(one.messageId)).toEqual([]);
  }, 150_000);

  test('what its own stage has not taken is to come by itself: left out and counted', async () => {
    await worker.stop();
    const traffic = await Traffic.open(installation);
    await traffic.write(7, ['app_push'], [LANE]);
    await traffic.close();
    const { figures } = reportOf(
      await millrace('replay', '--from', 'ingest.p1', '--since', '1h', '--json'),
    );
    expect(figures).toMatchObject({ read: COUNT + 7, ahead: 7, alreadyDone: COUNT });
    worker = await WorkerProcess.start(installation.variables, []);
  }, 90_000);
});

describe('what cannot be done is said in a line', () => {
  test.each([
    { it: 'no range', args: [], code: 2, says: '--since' },
    { it: 'no such topic', args: ['--from', 'x', '--since', '1h'], code: 2, says: 'no topic x' },
    { it: 'results', args: ['--from', 'feedback', '--since', '1h'], code: 2, says: 'no messages' },
    {
      it: 'what redrive is for',
      args: ['--from', 'refused', '--since', '1h'],
      code: 2,
      says: 'millrace redrive --from refused',
    },
    {
      it: 'a stage beyond the record',
      args: ['--from', 'deduped.p1', '--since', '1h', '--to', 'send'],
      code: 2,
      says: 'go back to dedupe or budget-reserve',
    },
    {
      it: 'a field that there is not, with its place',
      args: ['--from', 'ingest.p1', '--since', '1h', '--where', 'request.tenant == "acme"'],
      code: 2,
      says: 'No such key: tenant\n\n>    1 | request.tenant == "acme"\n                 ^',
    },
    {
      it: 'offsets over several topics',
      args: ['--from', 'ingest', '--since', '0'],
      code: 2,
      says: 'offsets are of one topic',
    },
    {
      it: 'an empty range',
      args: ['--from', 'ingest.p1', '--since', '1000000'],
      code: 1,
      says: 'nothing in that range',
    },
    {
      it: 'no reason',
      args: ['--from', 'ingest.p1', '--since', '1h', '--apply'],
      code: 2,
      says: '--reason',
    },
    {
      it: 'an unknown run',
      args: ['--apply', '--resume', '00000000-0000-0000-0000-000000000000'],
      code: 1,
      says: 'no run 00000000',
    },
    {
      it: 'a run and a range',
      args: ['--apply', '--resume', '00000000-0000-0000-0000-000000000000', '--from', 'ingest'],
      code: 2,
      says: 'with what was recorded',
    },
  ])('$it', async ({ args, code, says }) => {
    const said = await millrace('replay', ...args);
    expect(said.err).toContain(says);
    expect(said.code).toBe(code);
  });
});
