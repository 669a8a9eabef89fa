import type { PassAnswer, PassRequest, Passes } from '../../processors/reentry/passes.js';
import type { ParkedRecords, ReadAgain, WasRead } from '../../processors/release/release.js';
import type { Parked } from '../../schemas/generated/records.js';
import type { Coordinates, Topic } from '../../schemas/record.js';
import type { MemoryLedger } from './memory-ledger.js';
import type { MemoryLog } from './memory-log.js';
import type { MemoryReceiptLog } from './memory-ports.js';

const same = (a: Coordinates, b: Coordinates): boolean =>
  a.topic === b.topic && a.partition === b.partition && a.offset === b.offset;

/** The passes table in memory: what admit_passes() does, one question at a time. */
export class MemoryPasses implements Passes {
  /** UTC days that the ledger has detached begin before this: milliseconds since the epoch. */
  detachedBefore = -Infinity;
  private readonly kept = new Map<string, Pick<PassRequest, 'at' | 'origin'>>();
  private readonly ledger: MemoryLedger;
  private readonly index: MemoryReceiptLog;

  constructor(ledger: MemoryLedger, index: MemoryReceiptLog) {
    this.ledger = ledger;
    this.index = index;
  }

  readonly takeOver: Passes['takeOver'] = () => Promise.resolve();

  admit: Passes['admit'] = (batch) => Promise.resolve(batch.map((one) => this.one(one)));

  private one(asked: PassRequest): PassAnswer {
    const { tenantId, messageId, generation, stage, releaseNo, at, origin } = asked;
    const { passedAt } = this.index;
    if (releaseNo === 0 && (passedAt === null || passedAt < asked.startedAt))
      return { kind: 'early' };
    const key = [tenantId, messageId, generation, stage, releaseNo].join('|');
    const kept = this.kept.get(key);
    if (kept === undefined) {
      const past = this.past(asked);
      if (past !== null) return past;
      this.kept.set(key, { at, origin });
      return { kind: 'pass' };
    }
    if (same(kept.at, at)) return { kind: 'pass' };
    const twin = releaseNo > 0 && stage !== 'send' && !same(kept.origin, origin);
    return { kind: twin ? 'twin' : 'passed' };
  }

  private past({
    tenantId,
    messageId,
    generation,
    stage,
    releaseNo,
    attempt,
    createdAt,
  }: PassRequest): PassAnswer | null {
    const state = this.ledger.stateOf(tenantId, messageId, generation);
    const newest = this.index.newest(tenantId, messageId, generation);
    if (releaseNo === 0) {
      if (createdAt < this.detachedBefore) return { kind: 'detached' };
      if (state !== undefined) return { kind: 'reserved' };
      if (newest > 0) return { kind: 'attempted' };
    }
    if (stage !== 'send') return null;
    if (newest >= attempt) return { kind: 'attempted' };
    if (state === undefined) return { kind: 'unpaid' };
    return state === 'pending' ? null : { kind: 'reserved' };
  }
}

/** Reads parked records out of the driver's log. */
export const memoryParked = (
  topic: Topic<Parked>,
  log: () => MemoryLog | undefined,
): ParkedRecords => ({
  async *read(calls: readonly ReadAgain[]): AsyncGenerator<WasRead> {
    for (const call of calls) {
      await Promise.resolve();
      const records = log()?.records(topic.name, call.partition) ?? [];
      yield {
        call,
        records: call.offsets.flatMap((offset) => {
          const raw = records[offset];
          return raw?.value == null
            ? []
            : [{ at: raw.at, value: topic.codec.decode(raw.value), headers: raw.headers }];
        }),
      };
    }
  },
});
