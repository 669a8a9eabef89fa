import type { EpochMs } from '../../schemas/brand.js';
import type { Coordinates } from '../../schemas/record.js';
import { numberArray, plainArray, textArray } from './array-literal.js';
import { dayOf } from './days.js';
import { passed } from './offsets.js';
import { type PartitionOwnership, stillOwned } from './partition-ownership.js';
import type { Database } from './pool.js';

/** As processors/reentry/passes.ts has it, with what each field means. */
interface Request {
  readonly tenantId: string;
  readonly messageId: string;
  readonly generation: number;
  readonly stage: 'budget-reserve' | 'send';
  readonly attempt: number;
  readonly createdAt: EpochMs;
  readonly at: Coordinates;
  readonly origin: Coordinates;
  readonly releaseNo: number;
  readonly runId: string;
  readonly startedAt: EpochMs;
}

interface Answer {
  readonly kind:
    'pass' | 'twin' | 'passed' | 'reserved' | 'attempted' | 'detached' | 'unpaid' | 'early';
}

interface Row {
  readonly place: number;
  readonly outcome: Exclude<Answer['kind'], 'early'>;
}

const ADMIT = {
  name: 'admit-passes',
  text: 'select * from admit_passes($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)',
};

/** What is early goes to the end of its topic and is asked about again: not in a circle as fast as Kafka turns. */
const EARLY_PAUSE_MS = 500;

const parameters = (batch: readonly Request[]): readonly string[] => [
  textArray(batch.map(({ tenantId }) => tenantId)),
  plainArray(batch.map(({ messageId }) => messageId)),
  numberArray(batch.map(({ generation }) => generation)),
  plainArray(batch.map(({ stage }) => stage)),
  numberArray(batch.map(({ releaseNo }) => releaseNo)),
  numberArray(batch.map(({ attempt }) => attempt)),
  plainArray(batch.map(({ createdAt }) => dayOf(createdAt))),
  textArray(batch.map(({ at }) => at.topic)),
  numberArray(batch.map(({ at }) => at.partition)),
  numberArray(batch.map(({ at }) => at.offset)),
  textArray(batch.map(({ origin }) => origin.topic)),
  numberArray(batch.map(({ origin }) => origin.partition)),
  numberArray(batch.map(({ origin }) => origin.offset)),
  textArray(batch.map(({ runId }) => runId)),
];

/**
 * Who may come back in: one call of admit_passes() a batch.
 * @param indexConsumers the consumer names that postgresAttempts and postgresSettlements have: the message index that is
 * waited for is what they store
 */
export const postgresPasses = (
  database: Database,
  indexConsumers: readonly string[],
  ownership: PartitionOwnership,
) => {
  /** What was parked before was never past anything: only replays and redrives wait for the index. */
  const early = async (batch: readonly Request[]): Promise<readonly boolean[]> => {
    const latest = Math.max(
      ...batch.map(({ releaseNo, startedAt }) => (releaseNo > 0 ? -Infinity : startedAt)),
    );
    if (latest === -Infinity) return batch.map(() => false);
    const isBehind = (time: EpochMs | null): boolean => time === null || time < latest;
    let known = await passed(database, indexConsumers);
    if (isBehind(known)) {
      await new Promise((resolve) => setTimeout(resolve, EARLY_PAUSE_MS));
      known = await passed(database, indexConsumers);
    }
    return batch.map(
      ({ releaseNo, startedAt }) => releaseNo === 0 && (known === null || known < startedAt),
    );
  };

  return {
    takeOver: ownership.takeOver,

    async admit(batch: readonly Request[]): Promise<readonly Answer[]> {
      const waits = await early(batch);
      const asked = batch.filter((_, index) => waits[index] === false);
      const rows =
        asked.length === 0
          ? []
          : stillOwned(
              await database.query<Row>(ADMIT, [
                ...ownership.parameters(asked.map(({ at }) => at)),
                ...parameters(asked),
              ]),
            );
      let next = 0;
      return waits.map((wait): Answer => {
        if (wait) return { kind: 'early' };
        const row = rows[next++];
        if (row === undefined) throw new Error('fewer passes were answered than asked for');
        return { kind: row.outcome };
      });
    },
  };
};
