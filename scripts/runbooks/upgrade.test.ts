import { rmSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { MessageRequest } from '../../schemas/generated/records.js';
import { projectRoot } from '../../schemas/root.js';
import { endsOf } from '../acceptance/accounting.js';
import { type Carriers, startCarriers } from '../acceptance/carriers.js';
import { configFolder, installAcceptance } from '../acceptance/fixture.js';
import { Outcomes } from '../acceptance/outcomes.js';
import { Traffic } from '../acceptance/traffic.js';
import { type Build, nextBuild, thisBuild } from '../faults/builds.js';
import type { Installation } from '../installation/installation.js';
import { WorkerProcess } from '../installation/worker-process.js';
import { typed } from '../testing/documented.js';

/** More than what is waited for in it, whose own deadlines say what did not come. */
const TEST_MS = 600_000;
const CHANNELS = ['app_push', 'sms'];
/** Below the project, where Node finds its packages. */
const folder = path.join(projectRoot(), '.stack', 'next-release-of-the-runbook');

let carriers: Carriers;
let installation: Installation;
let outcomes: Outcomes;
let traffic: Traffic;
let worker: WorkerProcess;
/** As an operator's shell has them. */
let environment: Readonly<Record<string, string | undefined>>;

const started = ({ millrace }: Build): Promise<WorkerProcess> =>
  WorkerProcess.start(installation.variables, [], 'normal', millrace);

beforeAll(async () => {
  carriers = await startCarriers();
  installation = await installAcceptance('upgrade', {
    simulatorUrl: carriers.simulator.url,
    // As the table has it: doctor finds nothing wrong.
    partitions: 4,
  });
  environment = {
    ...installation.variables,
    CONFIG: configFolder(installation.id, carriers.simulator.url, (_file, text) => text),
  };
  outcomes = await Outcomes.follow(installation);
  traffic = await Traffic.open(installation);
  worker = await started(thisBuild());
}, 120_000);

afterAll(async () => {
  await worker.stop();
  await traffic.close();
  await outcomes.close();
  await carriers.simulator.close();
  await installation.remove();
  rmSync(folder, { recursive: true, force: true });
}, 120_000);

const accepted = async (requests: readonly MessageRequest[]): Promise<void> => {
  await outcomes.until(
    'messages to be sent',
    () => endsOf(outcomes, requests).accepted.length === requests.length,
  );
};
const replacedBy = async (build: Build): Promise<void> => {
  expect((await worker.stop()).code).toBe(0);
  // What comes while nobody works is the next worker's.
  const meanwhile = await traffic.write(20, CHANNELS);
  worker = await started(build);
  const releases = [...(await worker.metric('millrace_release_info')).keys()];
  expect(releases).toEqual([`release="${build.release}"`]);
  await accepted(meanwhile);
};

test(
  'upgrade.md: its commands prepare the next release, its worker goes on with what is there, and so does the old one afterwards',
  async () => {
    const next = nextBuild(folder);
    const succeeds = async (block: string, { millrace }: Build) => {
      const { code, said } = await typed('upgrade', block, environment, millrace);
      expect(code, said).toBe(0);
      return said;
    };
    await succeeds('upgrade-before', thisBuild());
    const said = await succeeds('upgrade-prepare', next);
    expect(said).toMatch(/[1-9]\d* registered/);
    // The old worker takes what the next release's schemas and functions are there for.
    await accepted(await traffic.write(20, CHANNELS));

    await replacedBy(next);
    await succeeds('upgrade-look', next);
    await replacedBy(thisBuild());
    await replacedBy(next);
    await succeeds('upgrade-over', next);
    const asked = await carriers.asked();
    expect(asked.filter(({ nth }) => nth > 1)).toEqual([]);
  },
  TEST_MS,
);
