import type { Command } from 'commander';
import type { Coordinates } from '../../schemas/record.js';
import type { Environment } from '../../topologies/config.js';
import { recorded, requiredReason, withActions } from '../actions/recorded.js';
import type { Cli } from '../cli/cli.js';
import { command } from '../cli/command.js';
import { NotNow, UsageError, Unsuccessful } from '../cli/exit.js';
import { withAdmin } from '../cli/kafka-admin.js';
import { place } from '../cli/options.js';
import { withDatabase } from '../cli/with-database.js';
import type { Ending } from '../transactions/end.js';
import { endTransaction, planEnding } from '../transactions/end.js';
import { heldIds, taskOf } from '../transactions/owner.js';

interface Options {
  readonly id?: string;
  readonly at?: Coordinates;
  readonly reason?: string;
  readonly apply?: true;
  readonly force?: true;
  readonly json?: true;
}

export const transactionsAbort = (cli: Cli): Command =>
  command(
    'abort',
    `Abort one transaction that \`millrace transactions\` shows. Shows what would be done; --apply does it.
--id makes Kafka abort it and shuts its producer out (a worker that still lives repeats its batch). --at writes the
abort marker onto one partition, for a transaction that hangs there; it needs Alter on the cluster. What was aborted
is not lost: its input was not committed either, and is read again. Nothing that was decided to be committed can be
aborted.`,
    [
      'millrace transactions abort --id millrace.intake.p0.3',
      'millrace transactions abort --id millrace.intake.p0.3 --reason "worker 3 was removed" --apply',
      'millrace transactions abort --at feedback/2/48213 --reason "hangs since the broker upgrade" --apply',
    ],
  )
    .option('--id <transactionalId>', 'of the transaction')
    .option('--at <topic/partition/offset>', 'where a hanging transaction starts', place)
    .option('--reason <text>', 'why; kept in the record of actions')
    .option('--apply', 'do it; default: show only')
    .option('--force', 'although a live worker holds the slot, or the id is none of ours')
    .option('--json', 'machine-readable')
    .action(async (options: Options) => {
      const { id, at, force } = options;
      if ((id === undefined) === (at === undefined))
        throw new UsageError(
          'name the transaction by --id or by --at: millrace transactions shows both',
        );
      const reason = options.apply === true ? requiredReason(options.reason) : '';
      const { kafka, postgres } = cli.environment(['kafka', 'postgres']);
      if (id !== undefined && force !== true) {
        if (taskOf(id, kafka.prefix) === null)
          throw new NotNow(
            `${id} is no transactional id of this installation: stop its producer, or shut it out with --force`,
          );
        await refuseHeld(postgres, id);
      }
      const named = id === undefined ? { at: at ?? never() } : { id };
      await withAdmin(kafka, async (admin) => {
        const ending = await planEnding(kafka, admin, named);
        if (options.apply !== true) {
          show(cli, options, { applied: false, ...ending });
          return;
        }
        const { outcome, id: action } = await withActions(postgres, (actions) =>
          recorded(actions, { command: 'transactions abort', reason, what: ending }, async () => {
            const ended = await endTransaction(kafka, admin, ending);
            return { state: ended ? 'done' : 'failed', outcome: { ended } };
          }),
        );
        show(cli, options, { applied: true, ...ending, ...outcome, action });
        if (!outcome.ended) throw new Unsuccessful();
      });
    });

const never = (): never => {
  throw new UsageError('name the transaction');
};

const refuseHeld = async (postgres: Environment['postgres'], id: string): Promise<void> => {
  const held = await withDatabase(postgres, (database) => heldIds(database, [id]));
  if (held.has(id))
    throw new NotNow(
      `a live worker holds ${id} and ends its own transactions; stop that worker first, or --force`,
    );
};

const show = (
  cli: Cli,
  { json }: Options,
  result: Ending & {
    readonly applied: boolean;
    readonly ended?: boolean;
    readonly action?: string;
  },
): void => {
  if (json === true) {
    cli.printJson(result);
    return;
  }
  const { producer, applied, ended, action } = result;
  const what =
    result.way === 'fence'
      ? `${result.transactionalId}, ${result.state}, producer ${producer.producerId} epoch ${producer.producerEpoch}`
      : `what producer ${producer.producerId} (epoch ${producer.producerEpoch}) began at ${result.at.topic}/${result.at.partition}/${result.at.offset}`;
  if (!applied) cli.print(`would abort ${what}. Do it: --reason "..." --apply`);
  else if (ended === true) cli.print(`aborted ${what} (action ${action ?? ''})`);
  else cli.print(`still open: ${what} (action ${action ?? ''}); look again: millrace transactions`);
};
