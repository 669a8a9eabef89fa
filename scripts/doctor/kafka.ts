import type { Admin } from 'kafkajs';
import kafkajs from 'kafkajs';
import rdkafka from 'node-rdkafka';
import type { KafkaEnvironment } from '../../topologies/config.js';
import { rdkafkaConnection } from '../../topologies/kafka-connection.js';
import { readRange } from '../../topologies/runtime/range-reader.js';
import { topicNames } from '../../topologies/topic-names.js';
import { RequestProducer } from '../produce/request-producer.js';
import type { Finding } from './finding.js';
import { bad, good, note, timed } from './finding.js';
import { skewFinding } from './skew.js';

const { ConfigResourceTypes } = kafkajs;

/** What producers may use, and what transactions and secured clusters need. */
const WANTED_FEATURES = ['zstd', 'lz4', 'snappy', 'gzip', 'ssl', 'sasl'];

/** The client library: librdkafka compiled without zstd stops at the first batch that a producer compressed with it. */
export const clientFindings = (): readonly Finding[] => {
  const missing = WANTED_FEATURES.filter((feature) => !rdkafka.features.includes(feature));
  const version = `node-rdkafka with librdkafka ${rdkafka.librdkafkaVersion}`;
  return missing.length === 0
    ? [good('client', `${version}: ${WANTED_FEATURES.join(', ')}`)]
    : [
        bad(
          'client',
          `${version} lacks ${missing.join(', ')}`,
          'install libzstd-dev liblz4-dev libssl-dev libsasl2-dev, delete node_modules/node-rdkafka/build, npm run setup',
        ),
      ];
};

interface Expected {
  readonly setting: string;
  readonly holds: (value: string) => boolean;
  readonly wanted: string;
  readonly why: string;
}

/** Broker settings that the design counts on (exactly-once.md, rule 11). */
const BROKER_SETTINGS: readonly Expected[] = [
  {
    setting: 'auto.create.topics.enable',
    holds: (value) => value === 'false',
    wanted: 'false',
    why: 'a misspelt topic would be created with the wrong partitions and retention',
  },
  {
    setting: 'transaction.abort.timed.out.transaction.cleanup.interval.ms',
    holds: (value) => Number(value) <= 10_000,
    wanted: '1000',
    why: "a killed worker's open transaction holds readers back until it is cleaned up",
  },
];

const CONSUMER_PROTOCOL: Expected = {
  setting: 'group.consumer.session.timeout.ms',
  holds: (value) => Number(value) <= 15_000,
  wanted: '6000',
  why: 'with KAFKA_GROUP_PROTOCOL=consumer, partitions of a killed worker stand still for so long',
};

export const brokerFindings = async (
  admin: Admin,
  kafka: KafkaEnvironment,
): Promise<readonly Finding[]> => {
  const { result: cluster, ms } = await timed(() => admin.describeCluster());
  const count = cluster.brokers.length;
  const reach = good('kafka', `${kafka.brokers.join(', ')}: ${count} brokers, ${ms} ms`);
  const size =
    count >= 3
      ? []
      : [
          note(
            'kafka',
            `${count} broker: no copies, a lost disk loses messages`,
            'fine on a laptop; in production three brokers (topics then have 3 copies)',
          ),
        ];
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: [
      { type: ConfigResourceTypes.BROKER, name: String(cluster.brokers[0]?.nodeId ?? 0) },
    ],
  });
  const settings = new Map(
    resources.flatMap((resource) =>
      resource.configEntries.map((entry) => [entry.configName, entry.configValue] as const),
    ),
  );
  const expected =
    kafka.groupProtocol === 'consumer' ? [...BROKER_SETTINGS, CONSUMER_PROTOCOL] : BROKER_SETTINGS;
  return [
    reach,
    ...size,
    ...expected.flatMap(({ setting, holds, wanted, why }) => {
      const value = settings.get(setting);
      return value === undefined || holds(value)
        ? []
        : [
            note(
              'kafka',
              `broker setting ${setting} is ${value}: ${why}`,
              `set ${setting}=${wanted}`,
            ),
          ];
    }),
  ];
};

/** Writes one record to a topic that brokers stamp with their own time, and reads it back. */
export const brokerClock = async (
  kafka: KafkaEnvironment,
  topics: readonly string[],
): Promise<readonly Finding[]> => {
  const topic = topicNames(kafka.prefix).internal.clock;
  if (!topics.includes(topic))
    return [
      note('clock', `not compared with the broker's: no ${topic}`, 'run millrace topics apply'),
    ];
  let place: { readonly partition: number; readonly offset: number } | undefined;
  const producer = await RequestProducer.open(kafka, (_, at) => {
    place = at;
  });
  const before = Date.now();
  try {
    await producer.send({ topic, key: 'clock', value: Buffer.from(String(before)) });
    await producer.settle(10_000);
  } finally {
    await producer.close();
  }
  const after = Date.now();
  const { partition = 0, offset = 0 } = place ?? {};
  for await (const batch of readRange({
    settings: rdkafkaConnection(kafka),
    topics: [topic],
    partitions: [{ topic, partition }],
    from: { offsets: new Map([[`${topic}/${partition}`, offset]]) },
    to: 'high',
  }))
    for (const record of batch)
      if (record.at.offset === offset)
        return [skewFinding('the broker', record.timestamp, before, after)];
  return [note('clock', 'the broker answered, but its record was not found', 'run doctor again')];
};
