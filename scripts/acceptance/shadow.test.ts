import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BreakerLevel, MessageRequest } from '../../schemas/generated/records.js';
import type { Installation } from '../installation/installation.js';
import { until } from '../installation/until.js';
import { WorkerProcess } from '../installation/worker-process.js';
import { closedWindow } from '../shadow/fixtures.js';
import type { ShadowReport } from '../shadow/run.js';
import type { Said } from '../testing/command-line.js';
import { commandLine } from '../testing/command-line.js';
import { installAcceptance, writeAll, writeRequests } from './fixture.js';
import { everything, Outcomes } from './outcomes.js';
import { requestOf } from './requests.js';

const LANE = 'p1';
const folder = mkdtempSync(path.join(os.tmpdir(), 'millrace-shadow-'));

let installation: Installation;
let outcomes: Outcomes;
let worker: WorkerProcess;
let millrace: ReturnType<typeof commandLine>;

/** 10 by push alone; 6 gold and 4 others by push or e-mail; 5 by e-mail alone; 3 without a channel. */
const traffic = (): readonly MessageRequest[] => {
  const { recipient } = requestOf();
  const email = 'someone@example.com';
  const of = (count: number, change: Partial<MessageRequest>): readonly MessageRequest[] =>
    Array.from({ length: count }, () => requestOf(change));
  return [
    ...of(10, {}),
    ...of(6, { channels: ['app_push', 'email'], recipient: { ...recipient, email, tier: 'gold' } }),
    ...of(4, { channels: ['app_push', 'email'], recipient: { ...recipient, email } }),
    ...of(5, { channels: ['email'], recipient: { ...recipient, email } }),
    ...of(3, { channels: ['email'] }),
  ];
};

beforeAll(async () => {
  installation = await installAcceptance('shadow');
  millrace = commandLine(installation.variables);
  outcomes = await Outcomes.follow(installation);
  // Without `windows`: its breaker says every 10 s anew what it holds of a scope, over the levels that a test has written.
  worker = await WorkerProcess.start(installation.variables, ['--only', 'intake,send,settle']);
  const requests = traffic();
  await writeRequests(installation, LANE, requests);
  await outcomes.until('all to end', () => outcomes.count >= requests.length);
}, 180_000);

afterAll(async () => {
  await worker.stop();
  await outcomes.close();
  await installation.remove();
}, 120_000);

const reportOf = (said: Said): ShadowReport => {
  expect(said).toMatchObject({ code: 0, err: '' });
  return said.json() as ShadowReport;
};

const changed = (file: string, text: string): string => {
  const place = path.join(folder, file);
  writeFileSync(place, text);
  return place;
};

const GOLD_BY_EMAIL = `
highValueTiers: [gold]
defaultChannels: [app_push]
rules:
  - name: gold-by-email
    when: { highValue: true }
    channels: [email]
`;

const LOWERS_AND_STAYS_LOW = `
level1:
  tripErrorRate: 0.08
  recoverWindows: 60
`;

describe('millrace shadow', () => {
  test('the difference under a changed policy is what a hand works out; nothing is sent; decisions lie in its own topics', async () => {
    const feedback = outcomes.feedback.length;
    const found = reportOf(
      await millrace(
        ...['shadow', '--from', 'deduped', '--since', '1h', '--json'],
        ...['--policy', changed('policy.yaml', GOLD_BY_EMAIL)],
      ),
    );
    const { id } = installation;
    expect(found).toMatchObject({ changed: ['policy'], read: 28, unreadable: 0, levels: null });
    // 20 by push at 0.002 and 5 by e-mail at 0.003 then; the 6 of tier gold go from push to e-mail: 0.001 more each.
    expect(found.difference).toEqual({
      compared: 28,
      same: 22,
      unknown: 0,
      ofTheLedger: 0,
      changes: [{ from: `app_push/app-${id}`, to: `email/mail-${id}`, count: 6 }],
      refusals: { happened: { no_address: 3 }, shadow: { no_address: 3 } },
      cost: { CNY: { happened: 55_000, shadow: 61_000, difference: 6_000 } },
    });
    const [routed = '', refused = ''] = found.topics ?? [];
    expect(await everything(installation, [routed])).toHaveLength(25);
    expect(await everything(installation, [refused])).toHaveLength(3);
    expect(outcomes.feedback.length).toBe(feedback);
    expect(await millrace('shadow', '--forget', found.run)).toMatchObject({ code: 0 });
    expect(await millrace('shadow', '--forget', found.run)).toMatchObject({ code: 1 });
  }, 90_000);

  test('under changed prices: the cost is what a hand works out', async () => {
    const file = path.join('scripts', 'acceptance', 'config', 'channels.yaml');
    const dearer = readFileSync(file, 'utf8')
      .replaceAll('RUN', installation.id)
      .replace("price: '0.003'", "price: '0.01'");
    const found = reportOf(
      await millrace(
        ...['shadow', '--from', 'deduped.p1', '--since', '1h', '--json', '--no-outputs'],
        ...['--policy', changed('channels.yaml', dearer)],
      ),
    );
    expect(found.topics).toBeNull();
    expect(found.difference).toMatchObject({
      compared: 28,
      same: 28,
      changes: [],
      cost: { CNY: { happened: 55_000, shadow: 90_000, difference: 35_000 } },
    });
  }, 90_000);

  test('under a changed breaker: levels, routes and cost are what a hand works out from the windows of then', async () => {
    const { names, codecs, id } = installation;
    const began = new Date().toISOString();
    const byPushOrEmail = (count: number): readonly MessageRequest[] =>
      Array.from({ length: count }, () =>
        requestOf({
          channels: ['app_push', 'email'],
          recipient: { ...requestOf().recipient, email: 'someone@example.com' },
        }),
      );
    const sent = async (requests: readonly MessageRequest[]): Promise<void> => {
      await writeRequests(installation, 'p2', requests);
      await outcomes.until('them to be sent', () =>
        requests.every(({ messageId }) => outcomes.ends(messageId).length === 1),
      );
    };
    await sent(byPushOrEmail(4));
    // Two windows with 10 % errors. The breaker of then lowers at more than 100 %: never.
    const topic = names.windows;
    await codecs.open([{ topic, record: 'ChannelWindow' }]);
    const { encode } = codecs.of('ChannelWindow', topic);
    const lowered = Date.now();
    const scope = `channel/app_push/app-${id}`;
    const windowMs = 60_000;
    const push = { channel: 'app_push', provider: `app-${id}`, windowMs };
    await writeAll(
      installation,
      [0, 1].map((n) => {
        const windowStart = Math.floor(lowered / windowMs) * windowMs - (2 - n) * windowMs;
        const window = closedWindow({ ...push, windowStart, closedAt: lowered + n }, 500, 50);
        return { topic, partition: null, key: scope, value: encode(window) };
      }),
    );
    await sent(byPushOrEmail(6));
    const found = reportOf(
      await millrace(
        ...['shadow', '--from', 'deduped.p2', '--since', began, '--json', '--no-outputs'],
        ...['--policy', changed('breaker.yaml', LOWERS_AND_STAYS_LOW)],
      ),
    );
    expect(found).toMatchObject({ changed: ['breaker'], read: 10, unreadable: 0 });
    // Each window halves the rate and push is avoided from the first on: the six after it go by e-mail, 0.001 more each.
    expect(found.difference).toEqual({
      compared: 10,
      same: 4,
      unknown: 0,
      ofTheLedger: 0,
      changes: [{ from: `app_push/app-${id}`, to: `email/mail-${id}`, count: 6 }],
      refusals: { happened: {}, shadow: {} },
      cost: { CNY: { happened: 20_000, shadow: 26_000, difference: 6_000 } },
    });
    const decided = await everything(installation, [names.deduped('p2')]);
    const last = Math.max(...decided.map(({ timestamp }) => timestamp));
    expect(found.levels?.find((one) => one.scope === scope)).toEqual({
      scope,
      happened: { changes: 0, loweredMs: 0, lowestRateFactor: 1 },
      shadow: { changes: 2, loweredMs: last - lowered, lowestRateFactor: 0.25 },
    });
  }, 90_000);

  test('routes by the breaker as it was at each message: what it says to avoid now changes nothing then', async () => {
    const { names, codecs, id } = installation;
    const topic = names.breakerLevels;
    await codecs.open([{ topic, record: 'BreakerLevel' }]);
    const scope = `channel/app_push/app-${id}`;
    const level: BreakerLevel = {
      scope,
      channel: 'app_push',
      provider: `app-${id}`,
      level: 1,
      fromLevel: 0,
      rateFactor: 0.5,
      fromRateFactor: 1,
      avoid: true,
      cause: 'a test',
      windowStart: null,
      windowMs: null,
      errorRate: null,
      attempts: null,
      since: Date.now(),
      at: Date.now(),
      heartbeat: false,
    };
    const value = codecs.of('BreakerLevel', topic).encode(level);
    await writeAll(installation, [{ topic, partition: null, key: scope, value }]);
    const before = level.at;
    const ingest = names.ingest(LANE);
    const sent = async (): Promise<string> => {
      const request = requestOf({
        channels: ['app_push', 'email'],
        recipient: { ...requestOf().recipient, email: 'someone@example.com' },
      });
      const bytes = codecs.of('MessageRequest', ingest).encode(request);
      await writeAll(installation, [
        { topic: ingest, partition: null, key: request.messageId, value: bytes },
      ]);
      await outcomes.until('it to be sent', () => outcomes.ends(request.messageId).length === 1);
      return outcomes.ends(request.messageId)[0]?.channel ?? '';
    };
    await until('route to have heard of it', 30_000, async () => (await sent()) === 'email');
    const heard = Date.now();
    expect(await sent()).toBe('email');
    // Nothing is changed: each message is decided as it was, those before the level and the one after it.
    const unchanged = async (...range: readonly string[]) =>
      reportOf(
        await millrace(
          ...['shadow', '--from', 'deduped.p1', ...range, '--json', '--no-outputs'],
          ...['--policy', path.join('scripts', 'acceptance', 'config', 'policy.yaml')],
        ),
      ).difference;
    const end = new Date(before).toISOString();
    expect(await unchanged('--since', '1h', '--until', end)).toMatchObject({
      compared: 28,
      same: 28,
    });
    expect(await unchanged('--since', new Date(heard).toISOString())).toMatchObject({
      compared: 1,
      same: 1,
      cost: { CNY: { happened: 3_000, shadow: 3_000 } },
    });
  }, 120_000);

  test.each([
    { it: 'results', args: ['--from', 'feedback'], says: 'deduped' },
    {
      it: 'no file',
      args: ['--from', 'deduped', '--policy', 'nowhere.yaml'],
      says: 'no such file',
    },
  ])('$it: said in a line', async ({ args, says }) => {
    const policy = args.includes('--policy')
      ? []
      : ['--policy', changed('policy.yaml', GOLD_BY_EMAIL)];
    const said = await millrace('shadow', '--since', '1h', ...args, ...policy);
    expect(said.err).toContain(says);
    expect(said.code).toBe(2);
  });
});
