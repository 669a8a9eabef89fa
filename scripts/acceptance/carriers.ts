import { mkdtempSync, readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Entry } from '../../infra/providers/journal.js';
import { type Simulator, startSimulator } from '../../infra/providers/simulator.js';
import { SECRETS } from './fixture.js';

/** The carriers of one test file, with all that they were asked. */
export interface Carriers {
  readonly simulator: Simulator;
  /** From the simulator's own journal, in order. */
  readonly asked: () => Promise<readonly Extract<Entry, { kind: 'asked' }>[]>;
}

export const startCarriers = async (): Promise<Carriers> => {
  const journal = path.join(mkdtempSync(path.join(os.tmpdir(), 'millrace-carriers-')), 'journal');
  const simulator = await startSimulator({
    port: 0,
    seed: '1',
    keys: {
      accessKeyId: SECRETS.ALIYUN_ACCESS_KEY_ID,
      accessKeySecret: SECRETS.ALIYUN_ACCESS_KEY_SECRET,
    },
    webhookSecret: SECRETS.WEBHOOK_SECRET,
    journal,
  });
  return {
    simulator,
    asked: async () => {
      await simulator.flush();
      return readFileSync(journal, 'utf8')
        .split('\n')
        .flatMap((line) => {
          if (line === '') return [];
          const entry = JSON.parse(line) as Entry;
          return entry.kind === 'asked' ? [entry] : [];
        });
    },
  };
};
