import { writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { channelsOf } from '../../processors/configuration.js';
import { topicSchemas } from '../../topologies/topic-table.js';
import { rdkafkaConnection } from '../../topologies/kafka-connection.js';
import type {
  Applied,
  ReconciliationReport,
  ReconciliationRequest,
} from '../../topologies/reconciliation.js';
import {
  applyCorrections,
  dayBefore,
  pendingHorizonMs,
  reconcile,
} from '../../topologies/reconciliation.js';
import { groupOf } from '../../topologies/runtime/worker.js';
import { recorded, requiredReason, who, withActions } from '../actions/recorded.js';
import type { Cli } from '../cli/cli.js';
import { command } from '../cli/command.js';
import { BreaksFound, UsageError } from '../cli/exit.js';
import { integer } from '../cli/options.js';
import { reportHtml } from '../reconcile/html.js';
import { reportText } from '../reconcile/report.js';
import { statementLines } from '../reconcile/statement.js';
import { withPublished } from '../replay/installation.js';

interface Options {
  readonly day?: string;
  readonly providerStatement?: string;
  readonly provider?: string;
  readonly limit: number;
  readonly reason?: string;
  readonly apply?: true;
  readonly html?: string;
  readonly json?: true;
}

const day = (text: string): string => {
  const time = Date.parse(`${text}T00:00:00Z`);
  if (Number.isNaN(time) || new Date(time).toISOString().slice(0, 10) !== text)
    throw new InvalidArgumentError('a day, UTC, such as 2026-01-31.');
  if (time > Date.now()) throw new InvalidArgumentError('that day has not begun.');
  return text;
};

export const reconcileCommand = (cli: Cli): Command =>
  command(
    'reconcile',
    `Does the money add up? Compares counters with reservations and journal, a day's reservations with its attempts, those
with feedback in Kafka, and with a provider's statement. Each break has a class, an amount and what to do;
docs/operators/reconciliation.md explains them. Books nothing without --apply, and with it only what its evidence decides.

Exit codes: 0 no breaks, 1 it could not be done, 2 wrong command line, 3 breaks were found (with --apply: before it booked).`,
    [
      'millrace reconcile                                   # yesterday, UTC',
      'millrace reconcile --day 2026-01-31 --html reconciliation.html',
      'millrace reconcile --day 2026-01-31 --provider aliyun-sms --provider-statement statement.csv',
      'millrace reconcile --reason "see FIN-1300" --apply',
    ],
  )
    .option('--day <day>', 'of the requests (createdAt, UTC); default: yesterday', day)
    .option(
      '--provider-statement <file>',
      'CSV in UTF-8: providerMessageId, amount, currency; what was submitted on that day, UTC',
    )
    .option('--provider <name>', 'whose statement it is')
    .option('--limit <n>', 'breaks of each class in --json and --html', integer(1, 100_000), 100)
    .option('--reason <text>', 'why; kept with what is booked')
    .option('--apply', 'book what can be booked; default: propose only')
    .option('--html <file>', 'write the report as a page, too')
    .option('--json', 'machine-readable: micros of the currency')
    .action(async (options: Options) => {
      const { providerStatement, provider, html, json } = options;
      if ((providerStatement === undefined) !== (provider === undefined))
        throw new UsageError('--provider-statement and --provider go together');
      const reason = options.apply === true ? requiredReason(options.reason) : null;
      const environment = cli.environment(['kafka', 'registry', 'postgres']);
      const { kafka, postgres } = environment;
      const { report, applied } = await withPublished(
        environment,
        async ({ names, table, config, codecs }) => {
          const channels = [...channelsOf(config).values()];
          if (
            provider !== undefined &&
            !channels.some((channel) => channel.providers.some(({ name }) => name === provider))
          )
            throw new UsageError(`no channel has a provider ${provider}`);
          const specs = table.filter(({ name }) => name === names.feedback);
          await codecs.open(topicSchemas(specs));
          const request: ReconciliationRequest = {
            day: options.day ?? dayBefore(Date.now()),
            postgres,
            settings: rdkafkaConnection(kafka),
            codecs,
            feedbackTopic: names.feedback,
            retentionMs: specs.reduce(
              (most, { cleanup }) =>
                cleanup.policy === 'delete' ? Math.max(most, cleanup.retentionMs) : most,
              0,
            ),
            horizonMs: pendingHorizonMs(channels),
            consumers: {
              settle: groupOf(kafka.prefix, 'settle'),
              attempts: groupOf(kafka.prefix, 'attempts'),
            },
            now: Date.now(),
            ...(providerStatement !== undefined &&
              provider !== undefined && {
                statement: { provider, lines: statementLines(providerStatement) },
              }),
            ofEachClass: options.limit,
            ...(cli.watched && { say: cli.note }),
          };
          return run(postgres, request, reason);
        },
      );
      if (html !== undefined) await writeFile(html, reportHtml(report, new Date()));
      if (json === true) cli.printJson({ ...report, applied });
      else {
        cli.print(reportText(report));
        const bookable = report.sums.reduce((sum, one) => sum + one.bookable, 0n);
        if (applied !== null) cli.print(appliedText(applied));
        else if (bookable > 0n)
          cli.print(
            `Book ${bookable} of them: millrace reconcile --day ${report.day} --reason "..." --apply`,
          );
        if (html !== undefined) cli.note(`written: ${html}`);
      }
      if (report.breaks > 0n) throw new BreaksFound();
    });

const run = async (
  postgres: ReconciliationRequest['postgres'] & Parameters<typeof withActions>[0],
  request: ReconciliationRequest,
  reason: string | null,
): Promise<{ readonly report: ReconciliationReport; readonly applied: Applied | null }> => {
  if (reason === null) {
    const { report } = await reconcile(request, () => Promise.resolve());
    return { report, applied: null };
  }
  let report: ReconciliationReport | undefined;
  const { outcome } = await withActions(postgres, (actions) =>
    recorded(actions, { command: 'reconcile', reason, what: { day: request.day } }, async () => {
      const done = await reconcile(request, (reconciliation) =>
        applyCorrections(reconciliation, request, who(), reason),
      );
      report = done.report;
      return { state: 'done', outcome: { sums: done.report.sums, ...done.ended } };
    }),
  );
  if (report === undefined) throw new Error('a reconciliation ends with its report');
  return { report, applied: { money: outcome.money, attempts: outcome.attempts } };
};

const appliedText = ({ money, attempts }: Applied): string =>
  [
    `booked: ${money.booked}`,
    `booked before: ${money.repeated}`,
    `changed meanwhile: ${money.changed}`,
    `not booked, the account has too little: ${money.overdrawn}`,
    `attempts derived again: ${attempts}`,
  ].join('\n');
