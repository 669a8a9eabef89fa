import { randomUUID } from 'node:crypto';
import { hostname, userInfo } from 'node:os';
import { asError } from '../../schemas/error.js';
import type { OperatorAction, OperatorActions } from '../../sinks/postgres/operator-actions.js';
import { operatorActions } from '../../sinks/postgres/operator-actions.js';
import type { Environment } from '../../topologies/config.js';
import { NotNow, UsageError } from '../cli/exit.js';
import { withDatabase } from '../cli/with-database.js';

export const who = (): string => `${userInfo().username}@${hostname()}`;

/** @throws UsageError: whoever reads the record later asks why first. */
export const requiredReason = (reason: string | undefined): string => {
  if (reason === undefined || reason.trim() === '')
    throw new UsageError(
      '--apply needs --reason "...": it is kept in the record of actions (millrace actions)',
    );
  return reason.trim();
};

/** Runs with the table of actions. */
export const withActions = <T>(
  postgres: Environment['postgres'],
  run: (actions: OperatorActions) => Promise<T>,
): Promise<T> => withDatabase(postgres, (database) => run(operatorActions(database)));

/** What a recorded run ends with, beside its result. */
export interface Ended<T> {
  readonly state: 'done' | 'failed' | 'interrupted';
  readonly outcome: T;
}

/**
 * Writes the action down, acts, writes down what came of it. Where the first cannot be written, nothing is done.
 * @throws what `act` throws, after it was recorded as failed
 */
export const recorded = async <T>(
  actions: OperatorActions,
  action: { readonly command: string; readonly reason: string; readonly what: unknown },
  act: (id: string) => Promise<Ended<T>>,
): Promise<{ readonly id: string; readonly outcome: T }> => {
  const id = randomUUID();
  await actions.begin({ ...action, id, actor: who() });
  return { id, outcome: await ending(actions, id, () => act(id)) };
};

/** The second half of `recorded`, for a run that is taken up again. */
export const ending = async <T>(
  actions: OperatorActions,
  id: string,
  act: () => Promise<Ended<T>>,
): Promise<T> => {
  let ended: Ended<T>;
  try {
    ended = await act();
  } catch (thrown) {
    // The cause matters more than that it could not be written down.
    await actions.end(id, 'failed', { error: asError(thrown).message }).catch(() => undefined);
    throw thrown;
  }
  await actions.end(id, ended.state, ended.outcome);
  return ended.outcome;
};

/**
 * Takes up a run that was interrupted, failed, or died.
 * @throws NotNow saying why it cannot be
 */
export const takenUp = async (
  actions: OperatorActions,
  id: string,
  command: string,
): Promise<OperatorAction> => {
  const taken = await actions.takeUp(id, command);
  if (taken === null) throw new NotNow(await whyNot(actions, id, command));
  return taken;
};

const whyNot = async (actions: OperatorActions, id: string, command: string): Promise<string> => {
  const found = await actions.find(id);
  if (found === null) return `there is no run ${id}: millrace actions lists them`;
  if (found.command !== command) return `${id} is a run of ${found.command}, not of ${command}`;
  return found.state === 'done'
    ? `run ${id} is done`
    : `run ${id} is under way; one that died is taken up a minute after its last sign of life`;
};
