import type { Command } from 'commander';
import { recorded, withActions } from '../actions/recorded.js';
import type { Cli } from '../cli/cli.js';
import { command } from '../cli/command.js';
import { NotNow, UsageError } from '../cli/exit.js';
import { withAdmin } from '../cli/kafka-admin.js';
import type { Bound } from '../replay/bounds.js';
import { bound } from '../replay/bounds.js';
import { withPublished } from '../replay/installation.js';
import { runId } from '../replay/options.js';
import { forgetShadow, shadowTopics } from '../shadow/outputs.js';
import { report } from '../shadow/report.js';
import { runShadow } from '../shadow/run.js';

interface Options {
  readonly from?: string;
  readonly since?: Bound;
  readonly until?: Bound;
  readonly policy?: string;
  readonly outputs: boolean;
  readonly reason: string;
  readonly forget?: string;
  readonly json?: true;
}

export const shadow = (cli: Cli): Command =>
  command(
    'shadow',
    `What another configuration would have made of real traffic: reads a range again, decides each message anew with the
changed files in place of the published ones (at the message's own time, under the breaker's levels of then), and
prints the difference to what happened: routes, cost, refusals, levels. Nothing is sent, reserved or refused; decisions
go to topics of the run's own, shadow.<run>.*.`,
    [
      'millrace shadow --from deduped --since 24h --policy changed/policy.yaml',
      'millrace shadow --from deduped.p2 --since 2026-01-31T08:00Z --until 2026-01-31T12:00Z --policy changed/',
      'millrace shadow --from reserved --since 6h --policy breaker.yaml --json | jq .difference.cost',
      'millrace shadow --forget 0b7c6d1e-8f3a-4e55-9d6f-0c1d2e3f4a5b    # deletes its topics',
    ],
  )
    .option(
      '--from <topic>',
      'deduped (budget-reserve and route decide again), reserved (route alone), or a lane',
    )
    .option('--since <bound>', 'first record: 24h, a time, an offset, or 0:4711,2:4700', bound)
    .option('--until <bound>', 'end, exclusive; default: what is there now', bound)
    .option('--policy <path>', 'changed configuration: a <kind>.yaml, or a folder of some')
    .option('--no-outputs', 'only compare: write no topics')
    .option('--reason <text>', 'why; kept in the record of actions', 'a shadow run')
    .option('--forget <run>', "delete a run's topics", runId)
    .option('--json', 'machine-readable')
    .action(async (options: Options) => {
      const { from, since, until, policy, outputs, reason, forget } = options;
      const environment = cli.environment(['kafka', 'registry', 'postgres']);
      const { kafka, postgres } = environment;
      if (forget !== undefined) {
        const gone = await withAdmin(kafka, (admin) =>
          forgetShadow(admin, shadowTopics(kafka.prefix, forget)),
        );
        if (!gone) throw new NotNow(`no topics of run ${forget}`);
        cli.print(`the topics of run ${forget} are deleted`);
        return;
      }
      if (from === undefined || since === undefined || policy === undefined)
        throw new UsageError(
          'say what to run: --from <topic> --since <bound> --policy <file or folder>',
        );
      const asked = { from, since, until: until ?? null, policy, outputs };
      const { outcome } = await withActions(postgres, (actions) =>
        recorded(actions, { command: 'shadow', reason, what: asked }, async () => ({
          state: 'done',
          outcome: await withAdmin(kafka, (admin) =>
            withPublished(environment, (installation) =>
              runShadow(cli, admin, kafka, installation, asked),
            ),
          ),
        })),
      );
      if (options.json === true) cli.printJson(outcome);
      else report(cli, outcome);
    });
