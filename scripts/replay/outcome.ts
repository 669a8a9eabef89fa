import type { Admin } from 'kafkajs';
import { REENTRY_HEADERS } from '../../processors/reentry/headers.js';
import { LANES } from '../../schemas/generated/records.js';
import type { Recovery } from '../../sinks/postgres/recovery.js';
import type { KafkaEnvironment } from '../../topologies/config.js';
import { rdkafkaConnection } from '../../topologies/kafka-connection.js';
import { readRange } from '../../topologies/runtime/range-reader.js';
import { groupOf } from '../../topologies/runtime/worker.js';
import type { TopicNames } from '../../topologies/topic-names.js';
import { AGAIN_STAGES } from '../../topologies/topic-names.js';
import { lagOn } from '../status/lag.js';

/** What became of the records that a run wrote. */
export interface Outcome {
  /** The re-entry task has looked at all of them; false: some are still to come, and the rest is not known. */
  readonly lookedAt: boolean;
  /** Messages that came back in and went on. */
  readonly letIn: number;
  /** Nothing was left to do: delivered, under way, or brought back before. null: not all were looked at. */
  readonly alreadyDone: number | null;
  /** Could not be let in: in dead-letters, with the reason. */
  readonly deadLettered: number;
}

export interface OutcomeOptions {
  readonly admin: Admin;
  readonly kafka: KafkaEnvironment;
  readonly names: TopicNames;
  readonly recovery: Recovery;
  readonly runId: string;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly written: number;
  readonly signal: AbortSignal;
  /** Records on again.* that were not looked at yet; null: the message index is waited for. */
  readonly onWaiting: (left: number | null) => void;
}

/** Waiting ends where nothing has moved for so long: is there a worker of group `again`? */
const STALL_MS = 60_000;
const PAUSE_MS = 500;

/** Waits until the re-entry task has looked at everything, as long as it moves, and counts what came of it. */
export const outcomeOf = async (options: OutcomeOptions): Promise<Outcome> => {
  const { recovery, runId, written } = options;
  const lookedAt = written === 0 || (await looked(options));
  const letIn = await recovery.letIn(runId);
  const deadLettered = written === 0 ? 0 : await deadLetters(options);
  return {
    lookedAt,
    letIn,
    alreadyDone: lookedAt ? written - letIn - deadLettered : null,
    deadLettered,
  };
};

/** Waits for `done`, which answers what is left; false: nothing moved for a minute, or it was interrupted. */
const patiently = async (
  { signal }: OutcomeOptions,
  left: () => Promise<number>,
): Promise<boolean> => {
  let least = Infinity;
  let moved = Date.now();
  for (;;) {
    const now = await left();
    if (now <= 0) return true;
    if (now < least) {
      least = now;
      moved = Date.now();
    }
    if (signal.aborted || Date.now() - moved > STALL_MS) return false;
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
};

const looked = async (options: OutcomeOptions): Promise<boolean> => {
  const { recovery, startedAt, onWaiting } = options;
  // Before the index has passed the run's start, what is looked at goes to the end of its topic again.
  const indexed = await patiently(options, async () => {
    onWaiting(null);
    return startedAt - ((await recovery.indexed()) ?? 0);
  });
  if (!indexed) return false;
  const caughtUp = (): Promise<boolean> =>
    patiently(options, async () => {
      const left = await againLag(options);
      onWaiting(left);
      return left;
    });
  // A batch that was asked about just before put its records back in the transaction that moved the group on: after
  // the first end they lie below the second.
  return (await caughtUp()) && (await caughtUp());
};

const againLag = async ({ admin, kafka, names }: OutcomeOptions): Promise<number> => {
  let left = 0;
  for (const lane of LANES)
    left += await lagOn(
      admin,
      kafka,
      groupOf(kafka.prefix, `again.${lane}`),
      AGAIN_STAGES.map((stage) => names.again(stage, lane)),
    );
  return left;
};

/** Dead letters keep the headers of the record, and so the run's name. */
const deadLetters = async ({ kafka, names, runId, startedAt }: OutcomeOptions): Promise<number> => {
  let count = 0;
  for await (const batch of readRange({
    settings: rdkafkaConnection(kafka),
    topics: [names.deadLetters],
    from: { since: startedAt },
    to: 'high',
  }))
    count += batch.filter(
      ({ headers }) => headers[REENTRY_HEADERS.run]?.toString() === runId,
    ).length;
  return count;
};
