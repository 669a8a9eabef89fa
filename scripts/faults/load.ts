import { LANES } from '../../schemas/generated/records.js';
import { messageKey } from '../demo/accounting.js';
import type { Accounting } from '../demo/accounting.js';
import { type Outgoing, RequestProducer } from '../produce/request-producer.js';
import { catalogOf } from '../traffic/catalog.js';
import { REALISTIC, type Shares, generate } from '../traffic/generate.js';
import { type Planned, valueOf } from '../traffic/planned.js';
import type { FaultInstallation } from './installation.js';

/** More duplicates than life has; no contradicted keys: those are Redis's alone to see, and Redis is flushed here. */
const SHARES: Shares = { ...REALISTIC, duplicate: 0.03, conflict: 0 };
/** A cluster that was away is back long before. */
const SETTLE_MS = 120_000;

export interface LoadOptions {
  readonly installation: FaultInstallation;
  readonly accounting: Accounting;
  readonly seed: number;
  /** Mean; peaks are 2.5 times as high. */
  readonly perSecond: number;
  readonly durationMs: number;
  readonly signal: AbortSignal;
}

/** Writes traffic at its planned times and tells the accounting what was acknowledged, and where. @returns how many */
export const produceLoad = async (options: LoadOptions): Promise<number> => {
  const { installation, accounting, seed, perSecond, durationMs, signal } = options;
  const { names, codecs, config, environment } = installation;
  const encoders = new Map(
    LANES.map((lane) => [lane, codecs.of('MessageRequest', names.ingest(lane))] as const),
  );
  const planned = new Map<Outgoing, Planned>();
  const producer = await RequestProducer.open(environment.kafka, (record, at) => {
    const plan = planned.get(record);
    planned.delete(record);
    if (plan === undefined) return;
    const { tenantId, messageId } = plan.payload.request;
    accounting.produced(at, messageKey(tenantId, messageId), plan.kind);
  });
  const startAt = Date.now();
  let written = 0;
  try {
    for (const plan of generate({
      seed,
      messages: Math.round((perSecond * durationMs) / 1_000),
      startAt,
      durationMs,
      catalog: catalogOf(config),
      shares: SHARES,
    })) {
      const wait = startAt + plan.at - Date.now();
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
      if (signal.aborted) break;
      const record = {
        topic: names.ingest(plan.lane),
        key: plan.key,
        value: valueOf(plan.payload, (request) => {
          const encoder = encoders.get(plan.lane);
          if (encoder === undefined) throw new Error(`no lane ${plan.lane}`);
          return encoder.encode(request);
        }),
      };
      planned.set(record, plan);
      await producer.send(record);
      written += 1;
    }
    await producer.settle(SETTLE_MS);
  } finally {
    await producer.close();
  }
  return written;
};
