import type { Command } from 'commander';
import { operatorActions } from '../../sinks/postgres/operator-actions.js';
import type { Database } from '../../sinks/postgres/pool.js';
import { type Recharge, postgresRecharges } from '../../sinks/postgres/recharges.js';
import { type Ended, recorded, requiredReason, who } from '../actions/recorded.js';
import { amountText, standingText } from '../audit/recharge-text.js';
import { nameOf } from '../budget/accounts.js';
import type { Cli } from '../cli/cli.js';
import { command } from '../cli/command.js';
import { NotNow, Unsuccessful } from '../cli/exit.js';
import { withDatabase } from '../cli/with-database.js';

interface Options {
  readonly reason?: string;
  readonly apply?: true;
  readonly json?: true;
}

type Verb = 'approve' | 'reject';

export const auditApprove = (cli: Cli): Command =>
  decide(
    cli,
    'approve',
    'Approve a recharge that waits, and book it. Shows it first; --apply does it. It is booked once, whoever approves.',
  );

export const auditReject = (cli: Cli): Command =>
  decide(
    cli,
    'reject',
    'Reject a recharge that waits. Its rule may propose again once its cool-down is over.',
  );

const decide = (cli: Cli, verb: Verb, description: string): Command =>
  command(verb, description, [
    `millrace audit ${verb} recharge/lantern/promotions/4`,
    `millrace audit ${verb} recharge/lantern/promotions/4 --reason "FIN-1234" --apply`,
  ])
    .argument('<recharge>', 'as millrace audit list has it')
    .option('--reason <text>', 'why; kept in the archive')
    .option('--apply', 'do it; default: show only')
    .option('--json', 'machine-readable: micros of the currency')
    .action(async (id: string, options: Options) => {
      await withDatabase(cli.environment(['postgres']).postgres, async (database) => {
        const before = await waiting(database, id);
        const applied = options.apply === true;
        if (applied) await apply(database, verb, before, requiredReason(options.reason));
        const found = (await postgresRecharges(database).find(id)) ?? before;
        if (options.json === true) cli.printJson({ applied, ...found });
        else report(cli, verb, found, applied);
        if (found.state === 'refused') throw new Unsuccessful();
      });
    });

/** @throws NotNow where there is none, or it is decided */
const waiting = async (database: Database, id: string): Promise<Recharge> => {
  const found = await postgresRecharges(database).find(id);
  if (found === null)
    throw new NotNow(`there is no recharge ${id}: millrace audit list has those that wait`);
  if (found.state !== 'review' && found.state !== 'person') throw decidedAlready(found);
  return found;
};

const decidedAlready = (one: Recharge): NotNow =>
  new NotNow(`${one.rechargeId} is decided: ${standingText(one, new Date())}. It stays so`);

const apply = async (
  database: Database,
  verb: Verb,
  one: Recharge,
  reason: string,
): Promise<void> => {
  const recharges = postgresRecharges(database);
  const { rechargeId } = one;
  await recorded(
    operatorActions(database),
    { command: `audit ${verb}`, reason, what: { rechargeId, account: nameOf(one) } },
    async (): Promise<Ended<{ readonly state: string; readonly refusal?: string }>> => {
      const by = who();
      const state = verb === 'approve' ? 'approved' : 'rejected';
      const isOurs = await recharges.decide(rechargeId, ['review', 'person'], {
        state,
        by,
        reason,
      });
      if (!isOurs) throw decidedAlready((await recharges.find(rechargeId)) ?? one);
      if (verb === 'reject') return { state: 'done', outcome: { state } };
      // Not left to the workers: whoever approves sees what came of it. What dies here, they book.
      const refusal = await recharges.book(rechargeId);
      return refusal === null
        ? { state: 'done', outcome: { state: 'booked' } }
        : { state: 'failed', outcome: { state: 'refused', refusal } };
    },
  );
};

const report = (cli: Cli, verb: Verb, one: Recharge, applied: boolean): void => {
  const what = `${one.rechargeId} (${nameOf(one)} ${amountText(one)})`;
  if (applied) cli.print(`${what}: ${standingText(one, new Date())}`);
  else {
    cli.print(`would ${verb} ${what}`);
    cli.print(`Do it: millrace audit ${verb} ${one.rechargeId} --reason "..." --apply`);
  }
};
