import { execFile } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TenantId } from '../../schemas/brand.js';
import { projectRoot } from '../../schemas/root.js';
import type { Installation } from '../installation/installation.js';
import { MILLRACE } from '../installation/installation.js';
import { WorkerProcess } from '../installation/worker-process.js';
import { installAcceptance, writeAll } from '../acceptance/fixture.js';
import { Outcomes } from '../acceptance/outcomes.js';
import { requestOf } from '../acceptance/requests.js';
import { blocksOf } from '../testing/documented.js';

const DEADLINE_MS = 120_000;
const POOR = 5;
const GOOD = 5;

let installation: Installation;
let outcomes: Outcomes;
let worker: WorkerProcess;

/** Delivered ones, ones without budget, and a dead letter: something for each command to find. */
beforeAll(async () => {
  installation = await installAcceptance('runbook');
  outcomes = await Outcomes.follow(installation);
  worker = await WorkerProcess.start(installation.variables, []);
  const topic = installation.names.ingest('p1');
  const { encode } = installation.codecs.of('MessageRequest', topic);
  const poor = { tenantId: 'hooli' as TenantId, businessLine: 'no-cash' };
  const requests = [
    ...Array.from({ length: GOOD }, () => requestOf()),
    ...Array.from({ length: POOR }, () => requestOf(poor)),
  ];
  const written = (key: string, value: Buffer) => ({ topic, partition: null, key, value });
  await writeAll(installation, [
    ...requests.map((request) => written(request.messageId, encode(request))),
    written('rubbish', Buffer.from('rubbish')),
  ]);
  await outcomes.until('all to end', () => outcomes.count >= GOOD + POOR + 1);
}, 180_000);

afterAll(async () => {
  await worker.stop();
  await outcomes.close();
  await installation.remove();
}, 120_000);

/** The runbook's commands, as they stand there. */
const commandsOf = (runbook: string): string => {
  const blocks = blocksOf(path.join('docs', 'operators', `${runbook}.md`));
  if (blocks.length === 0) throw new Error(`${runbook}.md has no block of commands`);
  return blocks.map(({ text }) => text).join('');
};

/** One after the other, in a shell that stops at the first failure. */
const run = (commands: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const script = [
      'set -euo pipefail',
      `millrace() { '${process.execPath}' '${MILLRACE}' "$@"; }`,
      commands,
    ].join('\n');
    const options = { cwd: projectRoot(), env: installation.variables, timeout: DEADLINE_MS };
    execFile('bash', ['-c', script], options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${error.message}\n${stdout}\n${stderr}`));
    });
  });

test(
  'mass-redrive.md: its commands find what was refused, bring it back, and say what became of it',
  async () => {
    const said = await run(commandsOf('mass-redrive'));
    expect(said).toMatch(/ 5 {2}would go on/);
    expect(said).toMatch(/ 1 {2}still cannot be decoded/);
    expect(said).toMatch(/ 5 {2}were let in and go on/);
    expect(said).toContain('redrive: account topped up after the outage');
    // Nobody has topped it up in this test: refused again, under the next generation.
    await outcomes.until(
      'them to be refused again',
      () => outcomes.refused.filter(({ value }) => value.generation === 1).length === POOR,
    );
  },
  DEADLINE_MS,
);

test(
  'replay-a-day.md: its commands find everything done already, and nothing comes of it',
  async () => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'millrace-runbook-'));
    const policy = path.join(folder, 'policy.yaml');
    writeFileSync(policy, 'defaultChannels: [email]\n');
    const feedback = outcomes.feedback.length;
    const said = await run(commandsOf('replay-a-day').replace('changed/policy.yaml', policy));
    expect(said).toMatch(/are done already or under way/);
    expect(said).toMatch(/ 0 {2}were let in and go on|were done already: nothing happened/);
    expect(said).toContain('replay: ledger restored from the 02:00 backup');
    expect(said).toContain('are decided alike');
    expect(outcomes.feedback.length).toBe(feedback);
  },
  DEADLINE_MS,
);
