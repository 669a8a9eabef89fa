import { afterAll, beforeAll, expect, test } from 'vitest';
import { answer } from '../../processors/testing/feedback.js';
import { tenantId } from '../../schemas/brand.js';
import type { DeliveryFeedback, Lane } from '../../schemas/generated/records.js';
import { LANES } from '../../schemas/generated/records.js';
import { installAcceptance, writeAll } from '../acceptance/fixture.js';
import type { Installation } from '../installation/installation.js';
import { until } from '../installation/until.js';
import { WorkerProcess } from '../installation/worker-process.js';
import { commandLine } from '../testing/command-line.js';

const DEADLINE_MS = 90_000;
const TEST_MS = 240_000;
const FILES: Readonly<Record<string, string>> = {
  // Forgotten nine seconds after their end.
  'windows.yaml': 'lengthMs: 2000\ngraceMs: 500\nsilenceMs: 4000\nretentionMs: 2000\n',
};

let installation: Installation;
let worker: WorkerProcess;
let millrace: ReturnType<typeof commandLine>;

beforeAll(async () => {
  installation = await installAcceptance('windows', { edit: (file, text) => FILES[file] ?? text });
  millrace = commandLine(installation.variables);
  worker = await WorkerProcess.start(installation.variables, ['--only', 'windows']);
}, TEST_MS);
afterAll(async () => {
  await worker.stop();
  await installation.remove();
}, TEST_MS);

const write = async (feedback: readonly DeliveryFeedback[]): Promise<void> => {
  const topic = installation.names.feedback;
  const { encode } = installation.codecs.of('DeliveryFeedback', topic);
  await writeAll(
    installation,
    feedback.map((value, index) => ({
      topic,
      partition: index % 2,
      key: `k${index}`,
      value: encode(value),
    })),
  );
};

/** Every lane, two providers, own tenants and others, outcomes and later reports, with latencies of their own. */
const traffic = (now: number): readonly DeliveryFeedback[] =>
  Array.from({ length: 200 }, (_, index) => {
    const lane: Lane = LANES[index % LANES.length] ?? 'p0';
    const occurredAt = now - (index % 5) * 100;
    return answer({
      occurredAt,
      lane,
      provider: index % 3 === 0 ? 'first' : 'second',
      tenantId: tenantId(['acme', 'globex', 'nobody'][index % 3] ?? 'acme'),
      attemptedAt: occurredAt - index * 7,
      createdAt: occurredAt - index * 13,
      sequence: index % 4 === 3 ? 2 : 1,
    });
  });
type Figures = Readonly<Record<string, number>>;

const rebuild = async (...more: readonly string[]): Promise<Figures> => {
  const said = await millrace('rebuild', 'windows', '--json', ...more);
  expect(said).toMatchObject({ code: 0, err: '' });
  return (said.json() as { readonly figures: Figures }).figures;
};

const dropped = async (): Promise<number> => {
  const events = await worker.metric('millrace_stage_events_total');
  return [...events]
    .filter(([labels]) => labels.includes('late_dropped'))
    .reduce((sum, [, count]) => sum + count, 0);
};

test(
  'what live workers counted is the same; answers too late for them are added, once',
  async () => {
    const began = Date.now();
    await write(traffic(began));
    await until('the mergers to forget', DEADLINE_MS, async () => {
      const said = await millrace('rebuild', 'windows', '--json');
      if (said.code !== 0) return false;
      const { open, windows = 0 } = (said.json() as { readonly figures: Figures }).figures;
      return open === 0 && windows > 0;
    });
    const { windows = 0, ...live } = await rebuild();
    expect(live).toMatchObject({ same: windows, read: 200 });

    // Workers drop these: nothing but a rebuild brings them into their window.
    await write(Array.from({ length: 40 }, () => answer({ occurredAt: began, provider: 'first' })));
    await until('late answers to be dropped', DEADLINE_MS, async () => (await dropped()) >= 40);
    expect(await rebuild('--reason', 'late', '--apply')).toMatchObject({
      windows,
      rewritten: 2,
      same: windows - 2,
      wrong: 0,
    });
    expect(await rebuild('--reason', 'again', '--apply')).toMatchObject({
      same: windows,
      rewritten: 0,
    });
  },
  TEST_MS,
);
