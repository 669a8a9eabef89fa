import type { Lane } from '../../schemas/generated/records.js';
import { messageKey } from '../demo/accounting.js';
import { catalogOf } from '../traffic/catalog.js';
import { REALISTIC, type Shares, generate } from '../traffic/generate.js';
import { valueOf } from '../traffic/planned.js';
import { Flights } from './flights.js';
import { FAULT_LANES, type FaultInstallation, PARTITIONS } from './installation.js';
import type { Witness } from './witness.js';

/** More duplicates than life has; no contradicted keys: those are Redis's alone to see, and Redis is flushed here. */
const SHARES: Shares = { ...REALISTIC, duplicate: 0.03, conflict: 0 };
/** Traffic comes on four lanes; the more urgent two on one of the run's, the others on the other. */
const LANE_OF: Readonly<Record<Lane, (typeof FAULT_LANES)[number]>> = {
  p0: 'p0',
  p1: 'p0',
  p2: 'p2',
  p3: 'p2',
};
/** A cluster that was away is back long before. */
const SETTLE_MS = 120_000;

export interface LoadOptions {
  readonly installation: FaultInstallation;
  readonly witness: Witness;
  readonly seed: number;
  /** Mean; peaks are 2.5 times as high. */
  readonly perSecond: number;
  readonly durationMs: number;
  readonly signal: AbortSignal;
}

/** Writes traffic at its planned times and tells the witness what was acknowledged, and where. @returns how many */
export const produceLoad = async (options: LoadOptions): Promise<number> => {
  const { installation, witness, seed, perSecond, durationMs, signal } = options;
  const { names, codecs, config, environment } = installation;
  const encoders = new Map(
    FAULT_LANES.map((lane) => [lane, codecs.of('MessageRequest', names.ingest(lane))] as const),
  );
  const flights = await Flights.open(environment.kafka, PARTITIONS);
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
      // Without Redis a repeat on another partition is the ledger's to see, which leases do not ask (docs/effectively-once.md).
      leasedStay: true,
    })) {
      const wait = startAt + plan.at - Date.now();
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
      if (signal.aborted) break;
      const { tenantId, messageId } = plan.payload.request;
      const lane = LANE_OF[plan.lane];
      flights.add(
        {
          topic: names.ingest(lane),
          key: plan.key,
          value: valueOf(plan.payload, (request) => {
            const encoder = encoders.get(lane);
            if (encoder === undefined) throw new Error(`no lane ${lane}`);
            return encoder.encode(request);
          }),
        },
        (at) => {
          witness.acknowledged(at, messageKey(tenantId, messageId), plan.kind);
        },
      );
      written += 1;
    }
    await flights.settle(SETTLE_MS);
  } finally {
    await flights.close();
  }
  return written;
};
