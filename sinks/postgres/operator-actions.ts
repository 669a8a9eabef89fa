import { jsonText } from './json-text.js';
import type { Database } from './pool.js';

export type ActionState = 'running' | 'done' | 'failed' | 'interrupted';

/** What an operator did by command. */
export interface OperatorAction {
  readonly id: string;
  /** e.g. rebuild redis */
  readonly command: string;
  /** user@host */
  readonly actor: string;
  readonly reason: string;
  /** Options and the range they were resolved to. */
  readonly what: unknown;
  readonly state: ActionState;
  /** Where it goes on; null: nowhere. */
  readonly progress: unknown;
  /** What came of it, or the error; null: not known yet. */
  readonly outcome: unknown;
  readonly startedAt: Date;
  /** Last sign of life. */
  readonly updatedAt: Date;
  readonly finishedAt: Date | null;
}

/** A run without a sign of life for so long is dead, and may be taken up again. */
const DEAD_AFTER_S = 60;

const COLUMNS = `action_id::text as id, command, actor, reason, what, state, progress, outcome,
  started_at as "startedAt", updated_at as "updatedAt", finished_at as "finishedAt"`;

/** The record of who did what (infra/migrations/004). All throw PipelineError postgres_unavailable | postgres_refused. */
export const operatorActions = (database: Database) => ({
  /** Before anything is done. */
  async begin(
    action: Pick<OperatorAction, 'id' | 'command' | 'actor' | 'reason' | 'what'>,
  ): Promise<void> {
    await database.query(
      {
        name: 'action-begin',
        text: `insert into operator_actions (action_id, command, actor, reason, what)
               values ($1, $2, $3, $4, $5)`,
      },
      [action.id, action.command, action.actor, action.reason, jsonText(action.what)],
    );
  },

  async progress(id: string, progress: unknown): Promise<void> {
    await database.query(
      {
        name: 'action-progress',
        text: `update operator_actions set progress = $2, updated_at = now() where action_id = $1`,
      },
      [id, jsonText(progress)],
    );
  },

  async end(id: string, state: Exclude<ActionState, 'running'>, outcome: unknown): Promise<void> {
    await database.query(
      {
        name: 'action-end',
        text: `update operator_actions
               set state = $2, outcome = $3, updated_at = now(), finished_at = now()
               where action_id = $1`,
      },
      [id, state, jsonText(outcome)],
    );
  },

  /** Takes a run up again, if nobody is at it and it is not done; null: it is one of these, or there is none. */
  async takeUp(id: string, command: string): Promise<OperatorAction | null> {
    const [row] = await database.query<OperatorAction>(
      {
        name: 'action-take-up',
        text: `update operator_actions
               set state = 'running', outcome = null, updated_at = now(), finished_at = null
               where action_id = $1 and command = $2
                 and (state in ('failed', 'interrupted')
                      or state = 'running' and updated_at < now() - make_interval(secs => $3))
               returning ${COLUMNS}`,
      },
      [id, command, DEAD_AFTER_S],
    );
    return row ?? null;
  },

  async find(id: string): Promise<OperatorAction | null> {
    const [row] = await database.query<OperatorAction>(
      {
        name: 'action-find',
        text: `select ${COLUMNS} from operator_actions where action_id = $1`,
      },
      [id],
    );
    return row ?? null;
  },

  /** Newest first. since: ms since the epoch. */
  async list(since: number, atMost: number): Promise<readonly OperatorAction[]> {
    return database.query<OperatorAction>(
      {
        name: 'action-list',
        text: `select ${COLUMNS} from operator_actions
               where started_at >= $1 order by started_at desc limit $2`,
      },
      [new Date(since), atMost],
    );
  },
});

export type OperatorActions = ReturnType<typeof operatorActions>;
