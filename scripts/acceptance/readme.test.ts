import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { connectInstallation } from '../installation/installation.js';
import { until } from '../installation/until.js';
import { block, shell } from '../testing/documented.js';

const DEADLINE_MS = 150_000;
const STOP_MS = 30_000;
const id = randomBytes(3).toString('hex');
const folder = mkdtempSync(path.join(os.tmpdir(), 'millrace-readme-'));
const ENVIRONMENT = {
  ...process.env,
  TOPIC_PREFIX: `readme-${id}.`,
  DATABASE_SCHEMA: `readme_${id}`,
  HEALTH_PORT: '0',
  CALLBACK_PORT: '0',
};

afterAll(async () => {
  const installation = await connectInstallation(id, {
    ...(ENVIRONMENT as Readonly<Record<string, string>>),
    RECIPIENT_HASH_KEY: 'a key of sixteen characters',
  });
  await installation.remove();
}, 120_000);

/** What trace says of the message once it was sent. */
const TOLD = ['lantern', 'ingest.p1', 'deduped.p1', 'routed.app_push.p1', 'accepted', 'posted'];

/** A command of the block, by its beginning. */
const line = (commands: string, beginning: string): string => {
  const found = commands.split('\n').find((one) => one.startsWith(beginning));
  if (found === undefined) throw new Error(`the README says no ${beginning}`);
  return found;
};

/**
 * The block for a shell that stops at the first failure: the stack is up already, the worker's log lies elsewhere,
 * and trace is asked again until the worker, which was started a moment ago, has sent the message: a reader's fingers
 * take longer.
 */
const script = (commands: string): string => {
  const trace = line(commands, 'npx millrace trace');
  const seen = path.join(folder, 'trace');
  const told = TOLD.map((word) => `grep -qF ${word} ${seen}`).join(' && ');
  return [
    // -m: as in a terminal, `kill %1` ends the whole job, npx and the worker.
    'set -meuo pipefail',
    commands
      .replace(`${line(commands, 'npm run stack up')}\n`, '')
      .replace('> worker.log', `> ${path.join(folder, 'worker.log')}`)
      .replace(trace, `until ${trace} > ${seen} && ${told}; do sleep 1; done`),
    'kill %1',
  ].join('\n');
};

test(
  "the README's first message: its commands, one after another, to the message that was sent",
  async () => {
    const commands = script(block('README.md', 'first-message'));
    const { code, said } = await shell(commands, ENVIRONMENT, DEADLINE_MS);
    expect(code, said).toBe(0);
    const trace = readFileSync(path.join(folder, 'trace'), 'utf8');
    for (const word of TOLD) expect(trace).toContain(word);
    expect(said).toContain('ingest');
    const worker = path.join(folder, 'worker.log');
    await until('the worker to stop', STOP_MS, () =>
      readFileSync(worker, 'utf8').includes('"stopped"'),
    );
  },
  DEADLINE_MS,
);
