import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import {
  type AttachedDay,
  type Detachment,
  attachedDays,
  detachDay,
} from '../../sinks/postgres/detached-days.js';
import { dayOf } from '../../sinks/postgres/days.js';
import { operatorActions } from '../../sinks/postgres/operator-actions.js';
import type { Database } from '../../sinks/postgres/pool.js';
import { type Ended, recorded, requiredReason } from '../actions/recorded.js';
import type { Cli } from '../cli/cli.js';
import { command } from '../cli/command.js';
import { NotNow, Unsuccessful } from '../cli/exit.js';
import { table } from '../cli/table.js';
import { withDatabase } from '../cli/with-database.js';

const DAY_MS = 86_400_000;
/** A carrier's report may pay back what was posted: up to 30 days after it was sent, and retries take a few more. */
const KEEP_DAYS = 35;
/** A day of many millions of rows is read once. */
const STATEMENT_MS = 600_000;

interface Options {
  readonly before: string;
  readonly reason?: string;
  readonly apply?: true;
  readonly json?: true;
}

interface Detached {
  readonly day: string;
  readonly reservations: bigint;
}

interface Outcome {
  readonly done: readonly Detached[];
  /** What someone else did meanwhile. */
  readonly stopped: ({ readonly day: string } & Detachment) | null;
}

const utcDay = (text: string): string => {
  const time = /^\d{4}-\d{2}-\d{2}$/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(time)) throw new InvalidArgumentError('a UTC day such as 2026-01-31.');
  const latest = dayOf(Date.now() - KEEP_DAYS * DAY_MS);
  if (text > latest)
    throw new InvalidArgumentError(
      `at the latest ${latest}: for ${KEEP_DAYS} days carriers may still report what pays a message back.`,
    );
  return text;
};

export const budgetDetach = (cli: Cli): Command =>
  command(
    'detach',
    `Take days off the ledger, oldest first, up to one that has something pending. What a day posted is kept for each
account; its table (reservations_YYYYMMDD) stays in Postgres, for you to archive and drop. For good: messages of that day
and older are refused expired, and a replay of them pays nothing and sends nothing.`,
    [
      'millrace budget detach --before 2026-01-01',
      'millrace budget detach --before 2026-01-01 --reason "year end" --apply',
    ],
  )
    .requiredOption('--before <day>', 'UTC; that day itself stays', utcDay)
    .option('--reason <text>', 'why; kept in the record of actions')
    .option('--apply', 'do it; default: show only')
    .option('--json', 'machine-readable')
    .action(async (options: Options) => {
      await withDatabase(
        cli.environment(['postgres']).postgres,
        (database) => detach(cli, database, options),
        { statementMs: STATEMENT_MS },
      );
    });

const detach = async (cli: Cli, database: Database, options: Options): Promise<void> => {
  const { before, apply = false, json = false } = options;
  const reason = apply ? requiredReason(options.reason) : '';
  const days = await attachedDays(database, before);
  const held = days.findIndex(({ pending }) => pending > 0n);
  const free = held < 0 ? days : days.slice(0, held);
  const halt = days[held] ?? null;
  if (!apply) {
    if (json) cli.printJson({ applied: false, days, stopsAt: halt?.day ?? null });
    else cli.print(shown(days, free, halt, before));
    return;
  }
  const { id, outcome } = await recorded(
    operatorActions(database),
    { command: 'budget detach', reason, what: { before, days: free.map(({ day }) => day) } },
    () =>
      detachAll(
        database,
        free.map(({ day }) => day),
      ),
  );
  if (json) cli.printJson({ applied: true, action: id, ...outcome, stopsAt: halt?.day ?? null });
  else {
    if (outcome.done.length > 0)
      cli.print(
        table(
          ['detached', 'reservations', 'table'],
          outcome.done.map((one) => [one.day, one.reservations, tableOf(one.day)]),
        ),
      );
    cli.print(`${outcome.done.length} of ${days.length} days detached (action ${id})`);
    if (halt !== null) cli.print(whyHeld(halt));
  }
  if (outcome.stopped === null) return;
  if (json) throw new Unsuccessful();
  throw new NotNow(
    `${outcome.stopped.day} was not detached: ${outcome.stopped.kind.replaceAll('_', ' ')}. Someone else was at it; look again without --apply`,
  );
};

const detachAll = async (database: Database, days: readonly string[]): Promise<Ended<Outcome>> => {
  const done: Detached[] = [];
  for (const day of days) {
    const detachment = await detachDay(database, day);
    if (detachment.kind !== 'detached')
      return { state: 'failed', outcome: { done, stopped: { day, ...detachment } } };
    done.push({ day, reservations: detachment.reservations });
  }
  return { state: 'done', outcome: { done, stopped: null } };
};

const tableOf = (day: string): string => `reservations_${day.replaceAll('-', '')}`;

const whyHeld = ({ day, pending }: AttachedDay): string =>
  `${day} stays, and what comes after it: ${pending} of its reservations are pending. millrace trace says of each message why`;

const shown = (
  days: readonly AttachedDay[],
  free: readonly AttachedDay[],
  halt: AttachedDay | null,
  before: string,
): string => {
  if (days.length === 0) return `no day before ${before} is attached`;
  return [
    table(
      ['day', 'reservations', 'pending'],
      days.map(({ day, reservations, pending }) => [day, reservations, pending]),
    ),
    '',
    `would detach ${free.length} of ${days.length} days`,
    ...(halt === null ? [] : [whyHeld(halt)]),
    ...(free.length === 0
      ? []
      : [`Do it: millrace budget detach --before ${before} --reason "..." --apply`]),
  ].join('\n');
};
