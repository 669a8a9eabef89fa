import type { BusinessConfig } from '../../schemas/config.js';
import type { Lane } from '../../schemas/generated/records.js';
import { LANES } from '../../schemas/generated/records.js';
import type { Codecs } from '../../schemas/topic-codecs.js';
import type { KafkaEnvironment } from '../../topologies/config.js';
import { topicNames } from '../../topologies/topic-names.js';
import type { Outgoing } from '../produce/request-producer.js';
import { RequestProducer } from '../produce/request-producer.js';
import { catalogOf } from '../traffic/catalog.js';
import { generate } from '../traffic/generate.js';
import type { Planned } from '../traffic/planned.js';
import { valueOf } from '../traffic/planned.js';
import type { Accounting } from './accounting.js';
import { messageKey } from './accounting.js';

export interface TrafficOptions {
  readonly kafka: KafkaEnvironment;
  readonly codecs: Codecs;
  readonly config: BusinessConfig;
  readonly accounting: Accounting;
  readonly seed: number;
  readonly messages: number;
  /** Over which it arrives. */
  readonly durationMs: number;
  /** While true, the last of the traffic comes slowly, so that a tripped channel has something to be probed with. */
  readonly holdBack: () => boolean;
  readonly signal: AbortSignal;
}

/** The share that can be held back, and over how long at most. */
const HELD_SHARE = 0.15;
const HELD_MS = 75_000;
const TICK_MS = 25;

/**
 * Writes the run's traffic at its planned times, and tells the accounting what was acknowledged, and where.
 * @returns how many records were written
 */
export const produceTraffic = async (options: TrafficOptions): Promise<number> => {
  const { kafka, codecs, accounting, messages, durationMs } = options;
  const names = topicNames(kafka.prefix);
  const codecOf = (lane: Lane) => codecs.of('MessageRequest', names.ingest(lane));
  const encoders = new Map(LANES.map((lane) => [lane, codecOf(lane)] as const));
  const planned = new Map<Outgoing, Planned>();
  const producer = await RequestProducer.open(kafka, (record, at) => {
    const plan = planned.get(record);
    planned.delete(record);
    if (plan === undefined) return;
    const { tenantId, messageId } = plan.payload.request;
    accounting.produced(at, messageKey(tenantId, messageId), plan.kind);
  });
  const startAt = Date.now();
  const heldFrom = Math.floor(messages * (1 - HELD_SHARE));
  let written = 0;
  let heldSince: number | undefined;
  try {
    for (const plan of generate({
      seed: options.seed,
      messages,
      startAt,
      durationMs,
      catalog: catalogOf(options.config),
    })) {
      await until(startAt + plan.at, options.signal);
      if (written >= heldFrom) {
        heldSince ??= Date.now();
        // Spread evenly over the time that is left to hold back, until there is no need any more.
        const due = heldSince + ((written - heldFrom) / (messages - heldFrom)) * HELD_MS;
        while (options.holdBack() && Date.now() < due && !options.signal.aborted) await tick();
      }
      if (options.signal.aborted) break;
      const encoder = encoders.get(plan.lane);
      if (encoder === undefined) throw new Error(`no lane ${plan.lane}`);
      const record = {
        topic: names.ingest(plan.lane),
        key: plan.key,
        value: valueOf(plan.payload, encoder.encode),
      };
      planned.set(record, plan);
      await producer.send(record);
      written += 1;
    }
    await producer.settle();
  } finally {
    await producer.close();
  }
  return written;
};

const tick = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, TICK_MS));

const until = async (time: number, signal: AbortSignal): Promise<void> => {
  while (time - Date.now() > 1 && !signal.aborted)
    await new Promise((resolve) => setTimeout(resolve, Math.min(200, time - Date.now())));
};
