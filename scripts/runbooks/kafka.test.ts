import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readRange } from '../../topologies/runtime/range-reader.js';
import { ProducerClient } from '../../topologies/runtime/rdkafka-client.js';
import { transactionalIdOf } from '../../topologies/runtime/worker.js';
import { endsOf } from '../acceptance/accounting.js';
import { configFolder, installAcceptance } from '../acceptance/fixture.js';
import { Outcomes } from '../acceptance/outcomes.js';
import { Traffic } from '../acceptance/traffic.js';
import { withAdmin } from '../cli/kafka-admin.js';
import type { Installation } from '../installation/installation.js';
import { until } from '../installation/until.js';
import { WorkerProcess } from '../installation/worker-process.js';
import { Brokers } from '../kafka-wire/brokers.js';
import { writeAbortMarker } from '../kafka-wire/transaction-requests.js';
import { typed } from '../testing/documented.js';
import { type OwnKafka, startOwnKafka } from '../testing/own-kafka.js';
import { findTransactions } from '../transactions/find.js';

const NOWHERE = 'http://simulator.invalid';
const DEADLINE_MS = 60_000;
/** More than what is waited for in a test, whose own deadlines say what did not come. */
const TEST_MS = 600_000;
const CALL_MS = 15_000;

let kafka: OwnKafka;
let installation: Installation;
let environment: Readonly<Record<string, string | undefined>>;

beforeAll(async () => {
  kafka = await startOwnKafka();
  installation = await installAcceptance('brokers', {
    variables: { KAFKA_BROKERS: kafka.brokers },
    // As the table has it: doctor finds nothing wrong.
    partitions: 4,
  });
  environment = {
    ...installation.variables,
    CONFIG: configFolder(installation.id, NOWHERE, (_file, text) => text),
  };
}, 240_000);
afterAll(async () => {
  try {
    await installation.remove();
  } finally {
    await kafka.stop();
  }
}, 120_000);

/** Writes so many messages and waits until they are sent. */
const delivered = async (count: number): Promise<void> => {
  const traffic = await Traffic.open(installation);
  const outcomes = await Outcomes.follow(installation);
  try {
    const requests = await traffic.write(count, ['app_push']);
    await outcomes.until(
      'messages to be sent',
      () => endsOf(outcomes, requests).accepted.length === count,
    );
  } finally {
    await traffic.close();
    await outcomes.close();
  }
};

test(
  'a broker is lost and comes back: workers wait and go on, and the runbook says when it is over',
  async () => {
    const worker = await WorkerProcess.start(installation.variables, []);
    try {
      await delivered(20);
      await kafka.kill();
      const look = await typed('broker-loss', 'broker-loss-look', environment);
      expect(look.code).toBe(1);
      expect(look.said).toMatch(/bad {3}kafka/);
      expect(look.said.match(/does not answer/g), look.said).toHaveLength(1);
      await worker.until(
        (readiness) => readiness?.missing['kafka']?.state === 'waiting',
        DEADLINE_MS,
      );
      await kafka.start();
      await delivered(20);
      await worker.until((readiness) => readiness?.status === 'ready', DEADLINE_MS);
      expect(worker.alive).toBe(true);
      let over = await typed('broker-loss', 'broker-loss-over', environment);
      const overdue = () => `nothing overdue, but:\n${over.said}`;
      await until(overdue, DEADLINE_MS, async () => {
        if (over.said.includes('0 of them overdue')) return true;
        over = await typed('broker-loss', 'broker-loss-over', environment);
        return false;
      });
      expect(over.code, over.said).toBe(0);
      expect(over.said).toContain('have a leader and all their copies');
    } finally {
      // One test's failure must not be the next one's.
      await kafka.start();
      await worker.stop();
    }
  },
  TEST_MS,
);

describe('a stuck transaction', () => {
  const producers: ProducerClient[] = [];
  afterAll(async () => {
    for (const producer of producers) await producer.disconnect(CALL_MS);
  });

  const write = async (producer: ProducerClient, partition: number): Promise<void> => {
    const topic = installation.names.feedback;
    await producer.produce([{ topic, partition, key: 'k', value: Buffer.from('v') }], CALL_MS);
    await producer.flush(CALL_MS);
  };
  /** Has written one record in a transaction, and does not go on. */
  const stopped = async (transactionalId: string, partition: number): Promise<ProducerClient> => {
    const producer = new ProducerClient({
      ...installation.client,
      'transactional.id': transactionalId,
      'transaction.timeout.ms': 300_000,
    });
    producers.push(producer);
    await producer.connect(CALL_MS);
    await producer.initTransactions(CALL_MS);
    await producer.begin();
    await write(producer, partition);
    return producer;
  };
  /** Whether a read_committed reader gets to the end of feedback. */
  const readable = async (): Promise<void> => {
    const { feedback } = installation.names;
    const end = { settings: installation.client, topics: [feedback], to: 'high' } as const;
    for await (const batch of readRange({ ...end, deadlineMs: 20_000 }))
      expect(batch.length).toBeGreaterThan(0);
  };
  const idOf = (task: string, slot: number): string =>
    transactionalIdOf(installation.environment.kafka.prefix, task, slot);

  test(
    'of a worker that is gone: the runbook shuts its producer out, and readers go on',
    async () => {
      const id = idOf('send.p1', 7);
      await stopped(id, 0);
      const look = await typed('stuck-transaction', 'stuck-transaction-look', environment);
      expect(look.said).toContain(`${id}  Ongoing`);
      expect(look.said).toContain('no worker holds it');
      expect(look.said).toContain(`millrace transactions abort --id ${id}`);
      const ended = await typed('stuck-transaction', 'stuck-transaction-fence', {
        ...environment,
        ID: id,
      });
      expect(ended.code, ended.said).toBe(0);
      expect(ended.said).toContain('would abort');
      await readable();
      const over = await typed('stuck-transaction', 'stuck-transaction-over', environment);
      expect(over.code, over.said).toBe(0);
      expect(over.said).not.toContain(id);
    },
    TEST_MS,
  );

  test(
    'whose markers its coordinator cannot write: the runbook writes one, and readers go on',
    async () => {
      const id = idOf('windows', 9);
      const producer = await stopped(id, 1);
      const found = () =>
        withAdmin(installation.environment.kafka, async (admin) => {
          const all = await findTransactions(installation.environment.kafka, admin, [
            installation.names.feedback,
          ]);
          return all.flatMap((one) =>
            one.kind === 'coordinated' && one.transaction.transactionalId === id ? [one] : [],
          );
        });
      // A marker of a later coordinator's: from now on the leader refuses those of the one that is.
      await withAdmin(installation.environment.kafka, async (admin) => {
        const [open] = (await found()).flatMap((one) => one.open);
        if (open === undefined) throw new Error('not open');
        await Brokers.with(installation.environment.kafka, admin, async (brokers) => {
          for (const [leader] of await brokers.byLeader([installation.names.feedback]))
            await writeAbortMarker(await brokers.at(leader), { ...open, coordinatorEpoch: 1_000 });
        });
      });
      await write(producer, 1);
      const aborting = producer.abort(CALL_MS).then(
        () => 'aborted',
        () => 'not told',
      );
      let at = '';
      await until('PrepareAbort', DEADLINE_MS, async () => {
        const [one] = await found();
        const start = one?.open[0]?.startOffset;
        at = `${installation.names.feedback}/1/${String(start)}`;
        return one?.transaction.state === 'PrepareAbort' && start !== undefined;
      });
      // Decided: shutting the producer out is of no use any more.
      const fenced = await typed('stuck-transaction', 'stuck-transaction-fence', {
        ...environment,
        ID: id,
      });
      expect(fenced.code).toBe(1);
      expect(fenced.said).toContain('decided');
      const marked = await typed('stuck-transaction', 'stuck-transaction-mark', {
        ...environment,
        AT: at,
      });
      expect(marked.code, marked.said).toBe(0);
      expect(marked.said).toContain('would abort');
      await readable();
      await aborting;
      const over = await typed('stuck-transaction', 'stuck-transaction-over', environment);
      expect(over.code, over.said).toBe(0);
      // Its coordinator still has it, and no worker could take the slot: that ends with the broker's restart.
      expect(over.said).toContain(`${id}  PrepareAbort`);
      await kafka.kill();
      await kafka.start();
      await until('the slot to be free', DEADLINE_MS, async () => (await found()).length === 0);
    },
    TEST_MS,
  );
});
