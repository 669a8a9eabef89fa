import type { Admin } from 'kafkajs';
import { PipelineError, asError } from '../../schemas/error.js';
import type { Coordinates } from '../../schemas/record.js';
import type { KafkaEnvironment } from '../../topologies/config.js';
import { rdkafkaConnection } from '../../topologies/kafka-connection.js';
import { ProducerClient } from '../../topologies/runtime/rdkafka-client.js';
import { Brokers } from '../kafka-wire/brokers.js';
import type { OpenProducer } from '../kafka-wire/transaction-requests.js';
import {
  NO_ERROR,
  describeTransactions,
  errorName,
  listTransactions,
  writeAbortMarker,
} from '../kafka-wire/transaction-requests.js';
import { NotNow } from '../cli/exit.js';
import type { FoundTransaction } from './find.js';
import { OPEN_STATES, findTransactions } from './find.js';

type Producer = Pick<OpenProducer, 'producerId' | 'producerEpoch'>;

/** How a transaction will be ended. */
export type Ending =
  | {
      /** Initialising a producer under the same id: the coordinator aborts what is open, and shuts the old one out. */
      readonly way: 'fence';
      readonly transactionalId: string;
      readonly state: string;
      readonly timeoutMs: number;
      readonly producer: Producer;
    }
  | {
      /** An abort marker on the partition, past the coordinator. */
      readonly way: 'marker';
      readonly at: Coordinates;
      readonly producer: OpenProducer;
    };

const CALL_MS = 10_000;
/** The coordinator answers CONCURRENT_TRANSACTIONS until the markers of the old one are written; the client repeats. */
const FENCE_MS = 30_000;

/**
 * Looks at the transaction as it stands now.
 * @throws PipelineError `topic_missing`; NotNow where it is not open, or must not be aborted this way
 */
export const planEnding = async (
  kafka: KafkaEnvironment,
  admin: Admin,
  named: { readonly id: string } | { readonly at: Coordinates },
): Promise<Ending> =>
  'id' in named ? byId(kafka, admin, named.id) : byPlace(kafka, admin, named.at);

const byId = async (kafka: KafkaEnvironment, admin: Admin, id: string): Promise<Ending> => {
  const found = await transactionOf(kafka, admin, id);
  if (found === null) throw new NotNow(`${id} has no transaction open now`);
  if (found.state !== 'Ongoing')
    throw new NotNow(
      `${id} is in ${found.state}: how it ends is decided, and its coordinator writes it. If that does not come to an end, restart the broker that coordinates it.`,
    );
  const { state, timeoutMs, producerId, producerEpoch } = found;
  return {
    way: 'fence',
    transactionalId: id,
    state,
    timeoutMs,
    producer: { producerId, producerEpoch },
  };
};

const transactionOf = (kafka: KafkaEnvironment, admin: Admin, id: string) =>
  Brokers.with(kafka, admin, async (brokers) => {
    for (const nodeId of brokers.ids()) {
      const broker = await brokers.at(nodeId);
      const { transactions } = await listTransactions(broker, OPEN_STATES);
      if (!transactions.some((one) => one.transactionalId === id)) continue;
      const [found] = await describeTransactions(broker, [id]);
      if (found?.code === NO_ERROR) return found;
    }
    return null;
  });

const byPlace = async (kafka: KafkaEnvironment, admin: Admin, at: Coordinates): Promise<Ending> => {
  if (!(await admin.listTopics()).includes(at.topic))
    throw new PipelineError(
      'topic_missing',
      `there is no topic ${at.topic}: check --at and TOPIC_PREFIX`,
    );
  const found = await openAt(kafka, admin, at);
  const [producer] = found?.open.filter((one) => isAt(one, at)) ?? [];
  if (found === undefined || producer === undefined)
    throw new NotNow(`no open transaction starts at ${at.topic}/${at.partition}/${at.offset}`);
  if (found.kind === 'coordinated' && found.transaction.state === 'Ongoing')
    throw new NotNow(
      `its coordinator knows this one: millrace transactions abort --id ${found.transaction.transactionalId}`,
    );
  if (found.kind === 'coordinated' && found.transaction.state !== 'PrepareAbort')
    throw new NotNow(
      `${found.transaction.transactionalId} is in ${found.transaction.state}: it is decided to be committed, and must not be aborted. Restart the broker that coordinates it.`,
    );
  return { way: 'marker', at, producer };
};

const isAt = (one: OpenProducer, at: Coordinates): boolean =>
  one.topic === at.topic && one.partition === at.partition && one.startOffset === BigInt(at.offset);

const openAt = async (
  kafka: KafkaEnvironment,
  admin: Admin,
  at: Coordinates,
): Promise<FoundTransaction | undefined> =>
  (await findTransactions(kafka, admin, [at.topic])).find(({ open }) =>
    open.some((one) => isAt(one, at)),
  );

/**
 * @returns whether it is gone
 * @throws PipelineError `kafka_unavailable`
 */
export const endTransaction = async (
  kafka: KafkaEnvironment,
  admin: Admin,
  ending: Ending,
): Promise<boolean> => {
  if (ending.way === 'marker') {
    await mark(kafka, admin, ending.producer);
    return (await openAt(kafka, admin, ending.at)) === undefined;
  }
  await fence(kafka, ending);
  const now = await transactionOf(kafka, admin, ending.transactionalId);
  return (
    now === null || now.state !== 'Ongoing' || now.producerEpoch !== ending.producer.producerEpoch
  );
};

const fence = async (
  kafka: KafkaEnvironment,
  { transactionalId, timeoutMs }: { readonly transactionalId: string; readonly timeoutMs: number },
): Promise<void> => {
  const producer = new ProducerClient({
    ...rdkafkaConnection(kafka),
    'transactional.id': transactionalId,
    // As its owner has it: the coordinator keeps what the last one said.
    'transaction.timeout.ms': timeoutMs,
  });
  try {
    await producer.connect(CALL_MS);
    await producer.initTransactions(FENCE_MS);
  } catch (thrown) {
    throw new PipelineError(
      'kafka_unavailable',
      `${transactionalId} could not be shut out: ${asError(thrown).message}. Look again: millrace transactions`,
      thrown,
    );
  } finally {
    await producer.disconnect(CALL_MS);
  }
};

const mark = (kafka: KafkaEnvironment, admin: Admin, producer: OpenProducer): Promise<void> =>
  Brokers.with(kafka, admin, async (brokers) => {
    for (const [leader, partitions] of await brokers.byLeader([producer.topic])) {
      if (!partitions.some(({ partition }) => partition === producer.partition)) continue;
      const code = await writeAbortMarker(await brokers.at(leader), producer);
      if (code === NO_ERROR) return;
      throw new PipelineError(
        'kafka_unavailable',
        `the leader of ${producer.topic}/${producer.partition} refuses the abort marker: ${errorName(code)}`,
      );
    }
  });
