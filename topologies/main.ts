import { channelsOf, lanesOf, tenantsOf } from '../processors/configuration.js';
import { payersFirst } from '../processors/dedupe/own-reservations.js';
import { DEDUPE_SPAN_MS } from '../processors/dedupe/span.js';
import { recipientHash } from '../processors/recipient-hash.js';
import { portions } from '../processors/settle/portions.js';
import { postingSlice, type Settled, weightOf } from '../processors/settle/postings.js';
import { asError, isRetry, PipelineError } from '../schemas/error.js';
import { releaseVersion } from '../schemas/root.js';
import { type DeliveryFeedback, LANES, type Lane } from '../schemas/generated/records.js';
import type { PartitionSlice } from '../schemas/record.js';
import { schemaRegistry } from '../schemas/registry.js';
import { openCodecs } from '../schemas/topic-codecs.js';
import { startCallbacks } from '../sinks/callbacks/server.js';
import { breakerLevelSink } from '../sinks/influx/breaker-levels.js';
import { channelWindowSink } from '../sinks/influx/channel-windows.js';
import { postgresAccountLevels } from '../sinks/postgres/account-levels.js';
import { postgresAttempts } from '../sinks/postgres/attempts.js';
import { accountBurns } from '../sinks/postgres/burn.js';
import { postgresExpiredReservations } from '../sinks/postgres/expired-reservations.js';
import { postgresPasses } from '../sinks/postgres/passes.js';
import { openDatabase } from '../sinks/postgres/pool.js';
import { postgresReceiptLog } from '../sinks/postgres/receipt-log.js';
import { partitionOwnership } from '../sinks/postgres/partition-ownership.js';
import { postgresQuotas } from '../sinks/postgres/quotas.js';
import { postgresRecharges } from '../sinks/postgres/recharges.js';
import { postgresReservations, waitingForLeases } from '../sinks/postgres/reservations.js';
import { postgresSettlements } from '../sinks/postgres/settlements.js';
import { postgresLeases } from '../sinks/postgres/leases.js';
import { lockSlots } from '../sinks/postgres/slot-lock.js';
import { ProviderGates } from '../sinks/providers/dispatch.js';
import { receiptFormats } from '../sinks/providers/index.js';
import { ProviderInquiries } from '../sinks/providers/inquiries.js';
import { httpReviewer } from '../sinks/reviewer/http-reviewer.js';
import { connectRedis, refuseRefusal } from '../sinks/redis/client.js';
import { redisFirstSeen } from '../sinks/redis/first-seen.js';
import { accountKey, publishAccounts } from './accounts.js';
import { ENVIRONMENT_GROUPS, type Environment, readEnvironment } from './config.js';
import { comingBack } from './again.js';
import { claimedMessages } from './claimed-messages.js';
import { intake, sending } from './delivery.js';
import { expireReservations } from './expiry.js';
import { groupTopics } from './group-topics.js';
import { rdkafkaConnection } from './kafka-connection.js';
import { diagnoseKafka } from './kafka-refusal.js';
import { readTopicLimits } from './kafka-limits.js';
import { ledgerWatch } from './ledger-watch.js';
import { measurement, receiving } from './measurement.js';
import { plan } from './plan.js';
import { quotaWatch } from './quota-watch.js';
import { readPublishedConfig } from './published-config.js';
import { rechargeByRules } from './recharge.js';
import { pendingHorizonMs } from './reconciliation.js';
import { reconciliationChore } from './reconciliation-chore.js';
import { resolving } from './resolution.js';
import { ChangelogReader } from './runtime/changelog-reader.js';
import { type Chore, doChores } from './runtime/chores.js';
import { Health } from './runtime/health.js';
import { crashPoints } from './runtime/crash-points.js';
import { kafkaQuestion, watchKafka } from './runtime/kafka-watch.js';
import { LedgerMetrics } from './runtime/ledger-metrics.js';
import { createLog, type Logger } from './runtime/log.js';
import { partitionCounts, requireTopics } from './runtime/metadata.js';
import { WorkerMetrics } from './runtime/metrics.js';
import { oneReader } from './runtime/one-reader.js';
import { ParkedReader } from './runtime/parked-reader.js';
import { RecordProducer } from './runtime/record-producer.js';
import { TopicLimits } from './runtime/topic-limits.js';
import { Worker, groupOf } from './runtime/worker.js';
import { topicNames } from './topic-names.js';
import { maxBytes, topicSchemas, topicTable } from './topic-table.js';
import { typedTopics } from './topics.js';

/** Stages that a worker runs: docs/architecture.md says what each group holds. */
export const WORKER_GROUPS = ['intake', 'send', 'again', 'settle', 'windows'] as const;
export type WorkerGroup = (typeof WORKER_GROUPS)[number];

export interface RunOptions {
  /** Which stages; default all. */
  readonly only?: readonly WorkerGroup[];
  /** Which lanes of intake, send and again; default all. */
  readonly lanes?: readonly Lane[];
  /** Overrides SLOT: the numbered place of this worker. */
  readonly slot?: number;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Aborted: stop taking, finish, commit, leave. */
  readonly signal: AbortSignal;
  readonly onReady?: (ready: {
    readonly healthPort: number;
    readonly callbackPort: number | null;
  }) => void;
}

/** Calls of providers under way per task; more waits in Kafka. */
const MAX_IN_FLIGHT = 8_000;
/** Blocks of parked records that a releaser reads again at once; beyond, it schedules nothing new. */
const RELEASES_IN_FLIGHT = 64;
/** Leases that go back, one an account and partition; intake goes on meanwhile. */
const RETURNS_IN_FLIGHT = 100_000;
const SINK_BATCH = 2_000;
/** Rows of one call: a record of spends has hundreds. */
const SETTLED_AT_ONCE = 4_000;
/** Connections and servers of a worker that has left its groups. */
const CLOSE_WITHIN_MS = 5_000;
/**
 * A broker that holds a read_committed question does not always answer it when a transaction ends: now and then all
 * that came waits until the question's time is over (docs/performance.md, "Half a second, now and then"). So urgent
 * lanes ask more often.
 */
const URGENT: ReadonlySet<Lane> = new Set(['p0', 'p1']);
const URGENT_FETCH_WAIT_MS = 100;
/** Of an intake transaction that writes to some twenty partitions; measured, docs/performance.md. */
const URGENT_PACE = 0.5;
/** What the stores learn may lag so far behind the messages themselves. */
const SINK = { maxBatch: SINK_BATCH, lingerMs: 200 } as const;
/** Windows are seconds long; a cumulative snapshot per small transaction would cost more than counting. */
const WINDOWS_LINGER_MS = 500;
const RETRY_MS = { first: 250, most: 5_000 } as const;

/**
 * Runs a worker until the signal: reads environment and configuration, joins sinks to processors, restores, works.
 * @throws PipelineError whose message says what a person must do
 */
export const runWorker = async (options: RunOptions): Promise<void> => {
  const environment = readEnvironment(options.environment, ENVIRONMENT_GROUPS);
  const log = createLog(environment.worker.logLevel, { worker: options.only?.join('+') ?? 'all' });
  const health = new Health();
  const metrics = new WorkerMetrics();
  metrics.absences(() => health.absences);
  metrics.release(releaseVersion());
  const healthPort = await health.listen(environment.worker.healthPort, metrics.registry);
  const closers: (() => Promise<unknown>)[] = [() => health.close()];
  try {
    await assemble(options, environment, { log, health, metrics, healthPort, closers });
  } finally {
    const closeAll = async (): Promise<void> => {
      for (const close of closers.reverse()) {
        await close().catch((error: unknown) => {
          log.warn({ err: asError(error) }, 'closing');
        });
      }
    };
    let timer: NodeJS.Timeout | undefined;
    // What does not close ends with the process.
    await Promise.race([
      closeAll(),
      new Promise((resolve) => {
        timer = setTimeout(resolve, CLOSE_WITHIN_MS);
      }),
    ]);
    clearTimeout(timer);
    log.info('stopped');
  }
};

interface Surroundings {
  readonly log: Logger;
  readonly health: Health;
  readonly metrics: WorkerMetrics;
  readonly healthPort: number;
  /** Run in reverse at the end. */
  readonly closers: (() => Promise<unknown>)[];
}

const assemble = async (
  options: RunOptions,
  environment: Environment,
  { log, health, metrics, healthPort, closers }: Surroundings,
): Promise<void> => {
  const { prefix } = environment.kafka;
  const slot = options.slot ?? environment.worker.slot;
  const groups = new Set(options.only ?? WORKER_GROUPS);
  const lanes = options.lanes ?? LANES;
  const client = rdkafkaConnection(environment.kafka);
  const names = topicNames(prefix);

  /** A dependency that is away at the start is waited for, and readiness names it. */
  const patiently = <T>(attempt: () => Promise<T>) => waitFor(attempt, health, log, options.signal);

  const counts = await partitionCounts(client).catch(async (error: unknown) => {
    throw (await diagnoseKafka(environment.kafka)) ?? error;
  });
  requireTopics(counts, [names.config]);
  const codecs = await patiently(() =>
    openCodecs(schemaRegistry(environment.registry), [
      { topic: names.config, record: 'ConfigEntry' },
    ]),
  );
  const reader = new ChangelogReader(client, groupOf(prefix, 'restore'));
  closers.push(() => reader.close());
  const configTopic = { name: names.config, codec: codecs.of('ConfigEntry', names.config) };
  const published = await patiently(() =>
    readPublishedConfig(configTopic, counts.get(names.config) ?? 0, reader, codecs.prepare),
  );
  const channels = [...channelsOf(published).values()];
  const { maxBatch, rest } = lanesOf(published);
  const wired = {
    channels: channels.map(({ name }) => name),
    tenantsWithOwnIngest: [...tenantsOf(published).values()]
      .filter((tenant) => tenant.ownIngest)
      .map(({ id }) => id),
  };
  const table = topicTable({ prefix, ...wired });
  // Only its own: with access rules, a worker does not even see the others'.
  const described = plan({ prefix, lanes, ...wired });
  requireTopics(
    counts,
    [...groups].flatMap((group) => {
      const { reads, writes } = groupTopics(group, names, described);
      return [...reads, ...writes];
    }),
  );
  await patiently(() => codecs.open(topicSchemas(table)));
  const topics = typedTopics({ prefix, codecs, ...wired });

  const worker = new Worker({
    client,
    prefix,
    groupProtocol: environment.kafka.groupProtocol,
    slot,
    passPoint: crashPoints(environment.worker.crashAt),
    deadLetters: names.deadLetters,
    limits: new TopicLimits(maxBytes(table), () =>
      readTopicLimits(
        environment.kafka,
        table.map(({ name }) => name),
      ),
    ),
    codecs,
    health,
    metrics,
    log,
    reader,
    partitionsOf: (topic) => counts.get(topic) ?? 0,
  });
  const delivery = {
    recipientHash: recipientHash(environment.worker.recipientHashKey),
    topicPrefix: prefix,
  };
  const database = openDatabase({
    databaseUrl: environment.postgres.url,
    schema: environment.postgres.schema,
  });
  closers.push(() => database.close());
  const paceOf = (lane: Lane) => ({
    maxBatch: maxBatch[lane],
    rest: rest[lane] ?? 0,
    ...(URGENT.has(lane) && { fetchWaitMs: URGENT_FETCH_WAIT_MS }),
  });

  if (groups.has('intake')) {
    const redis = connectRedis(environment.redis);
    closers.push(() => {
      redis.disconnect();
      return Promise.resolve();
    });
    let redisIsWhole = true;
    let unknownToRedisUntil = 0;
    const firstSeen = redisFirstSeen({
      redis,
      topicPrefix: prefix,
      onDegraded: (error, undeduped) => {
        redisIsWhole = false;
        if (undeduped > 0) unknownToRedisUntil = Date.now() + DEDUPE_SPAN_MS;
        health.degraded('redis', error.message);
        metrics.undeduped.inc(undeduped);
      },
      onEmpty: (since) => {
        redisIsWhole = false;
        health.degraded(
          'redis',
          `empty since ${new Date(since).toISOString()}: run millrace rebuild redis`,
        );
      },
      onRecovered: () => {
        redisIsWhole = true;
        health.recovered('redis');
      },
    });
    const ownership = partitionOwnership(database);
    const reservations = postgresReservations(database, ownership);
    const ports = {
      firstSeen: payersFirst(firstSeen, reservations),
      reservations,
      // What Redis does not know, only the ledger tells from a duplicate on another partition, message by message.
      leases: {
        ...postgresLeases(database, ownership),
        usable: () => redisIsWhole && Date.now() > unknownToRedisUntil,
      },
    };
    await refuseRefusal(redis);
    const nothingAccepted = await patiently(() =>
      reader.allEmpty(
        LANES.map((lane) => names.internal.dedupe(lane)).flatMap((topic) =>
          Array.from({ length: counts.get(topic) ?? 0 }, (_, partition) => ({ topic, partition })),
        ),
      ),
    );
    await firstSeen.begin(nothingAccepted, DEDUPE_SPAN_MS);
    for (const lane of lanes) {
      worker.add(intake(lane, topics, delivery), ports, {
        ...paceOf(lane),
        ...(URGENT.has(lane) && { pace: URGENT_PACE }),
        maxInFlight: RETURNS_IN_FLIGHT,
      });
    }
  }
  if (groups.has('send')) {
    const providers = new ProviderGates({
      environment: options.environment,
      unusable: (provider, error) => {
        log.error({ provider, err: asError(error) }, 'provider cannot be used: its messages wait');
      },
    });
    closers.push(() => providers.close());
    options.signal.addEventListener('abort', () => {
      providers.stop();
    });
    for (const lane of lanes) {
      worker.add(
        sending(lane, topics, delivery),
        { providers },
        { ...paceOf(lane), maxInFlight: MAX_IN_FLIGHT },
      );
    }
  }
  /** By the group that may do them: whoever holds a group's lock does all of its chores. */
  const chores = new Map<WorkerGroup, Chore[]>();
  if (groups.has('send')) {
    const expired = postgresExpiredReservations(database);
    const attempts = postgresAttempts(database, groupOf(prefix, 'attempts'));
    chores.set('send', [
      expireReservations({
        reservations: expired,
        claimed: () =>
          claimedMessages({
            settings: client,
            groupId: groupOf(prefix, 'restore'),
            claims: LANES.flatMap((lane) => {
              const { claims, claimsRetry } = topics.lane(lane);
              return [claims, claimsRetry];
            }),
            prepare: codecs.prepare,
          }),
        attemptsPassed: () => attempts.passed(),
        log,
        count: (messages) => {
          metrics.expired.inc(messages);
        },
      }),
    ]);
  }
  if (groups.has('again')) {
    const parkedReader = new ParkedReader({
      client,
      groupId: groupOf(prefix, 'restore'),
      prepare: codecs.prepare,
      onError: (error) => {
        log.warn({ err: asError(error) }, 'parked records could not be read: trying again');
      },
    });
    closers.push(() => parkedReader.close());
    // One for both: they ask about the same records.
    const ownership = partitionOwnership(database);
    const ports = {
      passes: postgresPasses(
        database,
        [groupOf(prefix, 'attempts'), groupOf(prefix, 'settle')],
        ownership,
      ),
      reservations: waitingForLeases(postgresReservations(database, ownership)),
      // Keys are freed by the coordinates of the ingest record that took them; these come from again.*.
      firstSeen: { release: () => Promise.resolve() },
    };
    for (const lane of lanes) {
      worker.add(
        comingBack(lane, topics, delivery),
        { ...ports, parkedRecords: parkedReader.of(topics.lane(lane).parked) },
        { ...paceOf(lane), maxInFlight: RELEASES_IN_FLIGHT },
      );
    }
  }
  let callbackPort: number | null = null;
  if (groups.has('settle')) {
    const settling: Chore[] = [...ledgerWatch(database, new LedgerMetrics(metrics.registry))];
    chores.set('settle', settling);
    const settlements = postgresSettlements(database, groupOf(prefix, 'settle'));
    const attemptsConsumer = groupOf(prefix, 'attempts');
    const attempts = postgresAttempts(database, attemptsConsumer);
    worker
      .sink(
        oneReader<Settled>('settle', [
          {
            topics: topics.settled,
            load: settlements.loadOffsets,
            write: async (slices) => {
              for (const portion of portions(slices, weightOf, SETTLED_AT_ONCE)) {
                const answer = await settlements.apply(portion.map(postingSlice));
                if (answer.kind === 'lost') return answer.lost;
              }
              return [];
            },
            caughtUp: settlements.caughtUp,
          },
          {
            topics: topics.settled.filter(({ name }) => name === names.feedback),
            load: attempts.loadOffsets,
            write: async (slices) => {
              // Of feedback alone.
              const answer = await attempts.apply(slices as PartitionSlice<DeliveryFeedback>[]);
              return answer.kind === 'lost' ? answer.lost : [];
            },
            caughtUp: attempts.caughtUp,
          },
        ]),
        SINK,
      )
      .add(
        receiving(topics),
        {
          receiptLog: postgresReceiptLog(database, attemptsConsumer, partitionOwnership(database)),
        },
        { maxBatch: 500, maxInFlight: 1 },
      );
    const inquiries = new ProviderInquiries({
      environment: options.environment,
      unusable: (provider, error) => {
        log.error({ provider, err: asError(error) }, 'provider cannot be asked: its attempts wait');
      },
    });
    closers.push(() => inquiries.close());
    worker.add(resolving(topics, delivery), { inquiries }, { maxBatch: 500, maxInFlight: 1_000 });
    const receiptProducer = new RecordProducer(
      client,
      topics.receipts,
      // The message's own key is not known yet; its receipts keep their order by the message they name.
      ({ attempt, providerMessageId, provider }) =>
        attempt?.messageId ?? providerMessageId ?? provider,
    );
    await receiptProducer.open();
    closers.push(() => receiptProducer.close());
    const accounts = new RecordProducer(client, topics.accounts, accountKey);
    await accounts.open();
    closers.push(() => accounts.close());
    settling.push(
      publishAccounts(postgresAccountLevels(database), (records) => accounts.deliver(records)),
      rechargeByRules({
        config: () => worker.followed(topics.config),
        recharges: postgresRecharges(database),
        burns: (since) => accountBurns(database, since),
        reviewer: (http) =>
          httpReviewer(
            http,
            http.tokenEnv === undefined ? undefined : options.environment[http.tokenEnv],
          ),
        log,
        gauge: (what, count) => {
          metrics.recharges.labels(what).set(count);
        },
      }),
    );
    const formats = receiptFormats(channels);
    const callbacks = await startCallbacks({
      port: environment.worker.callbackPort,
      ...(environment.worker.callbackToken !== undefined && {
        token: environment.worker.callbackToken,
      }),
      provider: (name) => formats.get(name),
      deliver: (receipts) => receiptProducer.deliver(receipts),
      pushed: (provider, result, receipts) => {
        metrics.callbacks.labels(provider, result).inc(Math.max(1, receipts));
      },
    });
    callbackPort = callbacks.port;
    closers.push(() => callbacks.close());
    settling.push(quotaWatch(postgresQuotas(database), metrics.quotaUse, log));
    const kept = table.find(({ name }) => name === names.feedback)?.cleanup;
    settling.push(
      reconciliationChore({
        database,
        request: {
          postgres: environment.postgres,
          settings: client,
          codecs,
          feedbackTopic: names.feedback,
          groupId: groupOf(prefix, 'restore'),
          retentionMs: kept?.policy === 'delete' ? kept.retentionMs : 0,
          horizonMs: pendingHorizonMs(channels),
          consumers: { settle: groupOf(prefix, 'settle'), attempts: attemptsConsumer },
        },
        log,
        found: (breaks) => {
          metrics.reconciled(breaks);
        },
        now: Date.now,
      }),
    );
  }
  if (groups.has('windows')) {
    worker.add(
      measurement(topics, {
        feedbackPartitions: counts.get(names.feedback) ?? 0,
        partialsPartitions: counts.get(names.internal.windowsPartials) ?? 0,
      }),
      {},
      { maxBatch: SINK_BATCH, maxInFlight: 1, lingerMs: WINDOWS_LINGER_MS },
    );
    worker
      .sink({ ...channelWindowSink(environment.influx, topics.windows), derived: true }, SINK)
      .sink({ ...breakerLevelSink(environment.influx, topics.levels), derived: true }, SINK);
  }

  const lock = await patiently(() =>
    lockSlots(environment.postgres.url, worker.transactionalIds, (event) => {
      log.warn(event.kind === 'lost' ? { err: event.error } : event, `slot lock: ${event.kind}`);
    }),
  );
  closers.push(() => lock.release());
  if (lock.taken.length > 0) {
    throw new PipelineError(
      'fenced',
      `slot ${slot.toString()} is held by another worker (${lock.taken[0] ?? ''}): give this one --slot N of its own`,
    );
  }
  options.signal.addEventListener('abort', () => {
    worker.stop();
  });
  const question = kafkaQuestion(client, names.config);
  const watch = watchKafka(question.ask, health);
  closers.push(async () => {
    await watch.close();
    await question.close();
  });
  for (const [group, own] of chores) {
    const id = group === 'settle' ? `${prefix}chores` : `${prefix}chores.${group}`;
    const doing = doChores({
      chores: own,
      lock: async (onEvent) => {
        const lock = await lockSlots(environment.postgres.url, [id], ({ kind }) => {
          onEvent(kind === 'regained' ? 'regained' : 'lost');
        });
        if (lock.taken.length === 0) return lock;
        await lock.release();
        return null;
      },
      log,
      done: (chore, outcome, milliseconds) => {
        metrics.chore(chore, outcome, milliseconds);
      },
    });
    closers.push(() => doing.close());
  }
  options.onReady?.({ healthPort, callbackPort });
  if (!options.signal.aborted) await worker.run();
};

const waitFor = async <T>(
  attempt: () => Promise<T>,
  health: Health,
  log: Logger,
  signal: AbortSignal,
): Promise<T> => {
  // Named until an attempt gets past it: an attempt that hangs must not look like a dependency that is back.
  let missed: string | null = null;
  const over = (now: string | null): void => {
    if (missed !== null && missed !== now) health.recovered(missed);
    missed = now;
  };
  for (let pauseMs: number = RETRY_MS.first; ; pauseMs = Math.min(pauseMs * 2, RETRY_MS.most)) {
    try {
      const done = await attempt();
      over(null);
      return done;
    } catch (error) {
      if (!isRetry(error) || signal.aborted) throw asError(error);
      const dependency = error.code.replace(/_unavailable$/, '');
      over(dependency);
      health.waiting(dependency, error.message);
      log.warn({ err: error, pauseMs }, `waiting for ${dependency}`);
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }
};
