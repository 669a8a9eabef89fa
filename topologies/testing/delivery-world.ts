import { recipientHash } from '../../processors/recipient-hash.js';
import type { Outcome } from '../../processors/send/outcomes.js';
import type { ProviderCall } from '../../processors/send/contract.js';
import type { Finding, Inquiry } from '../../processors/unknown/contract.js';
import type { BusinessConfig } from '../../schemas/config.js';
import type {
  DeliveryFeedback,
  MessageRefused,
  MessageRequest,
} from '../../schemas/generated/records.js';
import { memoryCodecs } from '../../schemas/topic-codecs.js';
import { comingBack } from '../again.js';
import { intake, sending } from '../delivery.js';
import { measurement, receiving } from '../measurement.js';
import { resolving } from '../resolution.js';
import { TopicLimits } from '../runtime/topic-limits.js';
import { typedTopics } from '../topics.js';
import { ManualClock } from './clock.js';
import { TestDriver } from './driver.js';
import { TEST_CONFIG, configRecords, requestOf } from './fixtures.js';
import { NO_LEASES } from './no-leases.js';
import { MemoryLedger } from './memory-ledger.js';
import type { MemoryLog } from './memory-log.js';
import { MemoryPasses, memoryParked } from './memory-again.js';
import {
  ACCEPTED,
  MemoryFirstSeen,
  MemoryReceiptLog,
  ScriptedInquiries,
  ScriptedProviders,
} from './memory-ports.js';

const PARTITIONS = 2;
/** Longer than every retry of every route of one message. */
const ALL_RETRIES_MS = 12 * 600_000;

export interface WorldOptions {
  readonly config?: BusinessConfig;
  readonly script?: (call: ProviderCall) => Outcome;
  /** What providers say of attempts when they are asked; default: nothing. */
  readonly findings?: (inquiry: Inquiry) => Finding;
  /** max.message.bytes by topic; default: none. */
  readonly limits?: ReadonlyMap<string, number>;
  /** Channels that had topics when the worker started; default: all configured ones. */
  readonly channels?: readonly string[];
}

/** One lane of the real topologies over memory, from ingest to windows. */
export const deliveryWorld = async (options: WorldOptions = {}) => {
  const config = options.config ?? TEST_CONFIG;
  const clock = new ManualClock();
  const codecs = memoryCodecs();
  const topics = typedTopics({
    prefix: '',
    codecs,
    channels: options.channels ?? config.channels.map(({ name }) => name),
    tenantsWithOwnIngest: [],
  });
  const ledger = new MemoryLedger(config.tenants);
  const firstSeen = new MemoryFirstSeen();
  const receiptLog = new MemoryReceiptLog();
  const providers = new ScriptedProviders(options.script ?? (() => ACCEPTED), clock.now);
  const inquiries = new ScriptedInquiries(
    options.findings ?? (() => ({ kind: 'no_answer', code: null })),
    clock.now,
  );
  const delivery = { recipientHash: recipientHash('key-of-the-tests-0'), topicPrefix: '' };
  const lane = topics.lane('p1');
  const passes = new MemoryPasses(ledger, receiptLog);
  const log: { current?: MemoryLog } = {};
  const parkedRecords = memoryParked(lane.parked, () => log.current);
  const driver = new TestDriver(
    [
      intake('p1', topics, delivery),
      sending('p1', topics, delivery),
      comingBack('p1', topics, delivery),
      receiving(topics),
      resolving(topics, delivery),
      measurement(topics, { feedbackPartitions: PARTITIONS, partialsPartitions: PARTITIONS }),
    ],
    {
      clock,
      limits: new TopicLimits(options.limits ?? new Map()),
      partitions: PARTITIONS,
      prepare: codecs.prepare,
      ports: {
        firstSeen,
        reservations: ledger,
        leases: NO_LEASES,
        providers,
        receiptLog,
        inquiries,
        passes,
        parkedRecords,
      },
    },
  );
  log.current = driver.log;
  await driver.pipe(topics.config, configRecords(config, clock.now()));

  const feedback = (): DeliveryFeedback[] => driver.read(topics.feedback);
  const refused = (): MessageRefused[] => driver.read(topics.refused);
  /** What the settle and attempts sinks do with everything written so far; settling again changes nothing. */
  const settle = (): void => {
    ledger.settle([...feedback()].sort((a, b) => a.occurredAt - b.occurredAt));
    ledger.settle(refused());
    receiptLog.store(
      driver
        .records(topics.feedback)
        .map(({ raw, value }) => ({ key: raw.key?.toString() ?? '', value })),
      clock.now(),
    );
  };

  return {
    clock,
    driver,
    topics,
    lane,
    ledger,
    firstSeen,
    receiptLog,
    passes,
    providers,
    inquiries,
    feedback,
    refused,
    settle,
    /** A valid request, made now. */
    request: (n: number, change: Partial<MessageRequest> = {}): MessageRequest =>
      requestOf(n, clock.now(), change),
    send: (requests: readonly MessageRequest[], key: string | null = 'user-1') =>
      driver.pipe(
        lane.ingest,
        requests.map((value) => ({ key, value })),
      ),
    /** Until nothing waits for a retry any more. */
    drain: async (): Promise<void> => {
      for (let gone = 0; gone < ALL_RETRIES_MS; gone += 120_000) await driver.advance(120_000);
      settle();
    },
  };
};

export type DeliveryWorld = Awaited<ReturnType<typeof deliveryWorld>>;
