import type { EpochMs } from '../../schemas/brand.js';
import { numberArray, plainArray, textArray } from './array-literal.js';
import { postgresAttempts } from './attempts.js';
import { dayOf } from './days.js';
import type { Database } from './pool.js';
import { sqlQuery } from './sql-files.js';

/** A delivery of a message. */
interface Delivery {
  readonly tenantId: string;
  readonly messageId: string;
  readonly generation: number;
  readonly createdAt: EpochMs;
}

/** A record that would come back. */
export interface Foreseen extends Delivery {
  readonly stage: 'budget-reserve' | 'send';
  /** 0: a replay or redrive. */
  readonly releaseNo: number;
  /** The attempt it would make at send; 0 before. */
  readonly attempt: number;
}

/** As the re-entry task would be answered (processors/reentry/passes.ts). */
export type Foresight = 'pass' | 'passed' | 'reserved' | 'attempted' | 'detached' | 'unpaid';

/** What became of a message since one of its deliveries was refused. */
export interface Since {
  /** This delivery, or a later one, holds money or was paid for. */
  readonly delivered: boolean;
  /** Of one of its attempts nobody knows whether it arrived. */
  readonly uncertain: boolean;
}

/** What recovery commands ask before they act. All throw PipelineError postgres_unavailable | postgres_refused. */
export const postgresRecovery = (database: Database, attemptsConsumer: string) => {
  const attempts = postgresAttempts(database, attemptsConsumer);
  return {
    /** In order. Read only: what is foreseen as `pass` may be done by others before it comes back. */
    async foresee(batch: readonly Foreseen[]): Promise<readonly Foresight[]> {
      if (batch.length === 0) return [];
      const rows = await database.query<{ kind: Foresight }>(sqlQuery('foresee-passes'), [
        textArray(batch.map(({ tenantId }) => tenantId)),
        plainArray(batch.map(({ messageId }) => messageId)),
        numberArray(batch.map(({ generation }) => generation)),
        plainArray(batch.map(({ stage }) => stage)),
        numberArray(batch.map(({ releaseNo }) => releaseNo)),
        numberArray(batch.map(({ attempt }) => attempt)),
        plainArray(batch.map(({ createdAt }) => dayOf(createdAt))),
      ]);
      return rows.map(({ kind }) => kind);
    },

    /** In order. */
    async since(batch: readonly Delivery[]): Promise<readonly Since[]> {
      if (batch.length === 0) return [];
      return database.query<Since>(sqlQuery('messages-since'), [
        textArray(batch.map(({ tenantId }) => tenantId)),
        plainArray(batch.map(({ messageId }) => messageId)),
        numberArray(batch.map(({ generation }) => generation)),
        plainArray(batch.map(({ createdAt }) => dayOf(createdAt))),
      ]);
    },

    /** How many messages a run has brought back in so far. */
    async letIn(runId: string): Promise<number> {
      const [row] = await database.query<{ count: number }>(
        {
          name: 'passes-of-run',
          text: 'select count(*)::float8 as count from passes where run_id = $1',
        },
        [runId],
      );
      return row?.count ?? 0;
    },

    /** How far the message index has come: the re-entry task lets no run in that began later. null: not known yet. */
    indexed: () => attempts.passed(),
  };
};

export type Recovery = ReturnType<typeof postgresRecovery>;
