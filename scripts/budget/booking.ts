import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { v7 as uuidv7 } from 'uuid';
import { INITIAL_PREFIX } from '../../sinks/postgres/initial-grants.js';
import { operatorActions } from '../../sinks/postgres/operator-actions.js';
import type { Database } from '../../sinks/postgres/pool.js';
import { postgresLedger } from '../../sinks/postgres/ledger.js';
import type {
  AccountName,
  Booking,
  BookingRefusal,
  PostgresTransfers,
} from '../../sinks/postgres/transfers.js';
import { postgresTransfers } from '../../sinks/postgres/transfers.js';
import { recorded, requiredReason, who } from '../actions/recorded.js';
import { RECHARGE_PREFIX } from '../../processors/recharge/recharge.js';
import type { Cli } from '../cli/cli.js';
import { NotNow, Unsuccessful, UsageError } from '../cli/exit.js';
import { nameOf } from './accounts.js';

export interface BookingOptions {
  readonly id?: string;
  readonly reason?: string;
  readonly apply?: true;
  readonly json?: true;
}

const ID = /^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$/;

const transferId = (text: string): string => {
  if (!ID.test(text))
    throw new InvalidArgumentError('letters, digits, . _ : / -, at most 128, such as a ticket.');
  if (text.startsWith(INITIAL_PREFIX))
    throw new InvalidArgumentError(`${INITIAL_PREFIX}... are the configuration's own.`);
  if (text.startsWith(RECHARGE_PREFIX))
    throw new InvalidArgumentError(`${RECHARGE_PREFIX}... are the recharge rules' own.`);
  return text;
};

export const bookingOptions = (command: Command): Command =>
  command
    .option(
      '--id <id>',
      'of the transfer: under one id it is booked once, however often it is asked for',
      transferId,
    )
    .option('--reason <text>', 'why; kept in the journal and in the record of actions')
    .option('--apply', 'do it; default: show only')
    .option('--json', 'machine-readable');

/** What is asked of the ledger, and how it is said. */
export interface Asked {
  readonly kind: 'grant' | 'transfer' | 'close';
  /** That gains, or is closed. */
  readonly account: AccountName;
  /** For the record of actions, and for --json. */
  readonly what: Readonly<Record<string, unknown>>;
  /** The command line, less --id, --reason and --apply. */
  readonly typed: string;
  readonly book: (
    transfers: PostgresTransfers,
    change: { readonly transferId: string; readonly actor: string; readonly note: string },
    apply: boolean,
  ) => Promise<Booking>;
}

export interface Answer {
  readonly applied: boolean;
  readonly transferId: string;
  readonly booking: Extract<Booking, { readonly bookedAt: Date }>;
  /** Of the account. */
  readonly currency: string;
  /** Of the record of actions; only where it was applied. */
  readonly action?: string;
}

const WHY: Readonly<Record<BookingRefusal, string>> = {
  zero_amount: 'there is nothing to move',
  negative_amount: 'an amount is below 0',
  overflow: 'an amount or a sum would be beyond 9223372036854775807 (micros, or PV)',
  unknown_account:
    'there is no such account: millrace budget show lists them, millrace config apply opens new ones',
  account_closed: 'the account is closed, and takes nothing in',
  same_account: 'both are the same account',
  other_tenant: 'money does not leave its tenant',
  currency: 'the currency is another: millrace budget show has the one of each account',
  budget_cash: 'less cash is available: millrace budget show',
  budget_pv: 'less PV is available: millrace budget show',
  idempotency_conflict:
    'this --id stands for something else: millrace budget history <account> or millrace actions shows for what',
};

/**
 * Asks the ledger what would come of it, or books it, and records who did it and why. An id is demanded and never
 * derived: one made from the content would swallow a second grant that is meant, one made from the time would book a
 * command twice that was only typed twice.
 * @throws NotNow (with --json: Unsuccessful, after the answer is printed) where it is refused, UsageError without id or
 *   reason, and what the database throws
 */
export const booked = async (
  cli: Cli,
  database: Database,
  options: BookingOptions,
  asked: Asked,
): Promise<Answer> => {
  const transfers = postgresTransfers(database);
  const applied = options.apply === true;
  if (applied && options.id === undefined)
    throw new UsageError(
      `--apply needs --id: typed again under one id, a ${asked.kind} is booked once. Without --apply this command shows a fresh one`,
    );
  const note = applied ? requiredReason(options.reason) : '';
  const change = { transferId: options.id ?? uuidv7(), actor: who(), note };
  const about = {
    applied,
    transferId: change.transferId,
    currency: await currencyOf(database, asked),
  };
  if (!applied)
    return answered(cli, options, asked, about, await asked.book(transfers, change, false));
  const { id, outcome } = await recorded(
    operatorActions(database),
    {
      command: `budget ${asked.kind}`,
      reason: note,
      what: { transferId: change.transferId, ...asked.what },
    },
    async () => {
      const booking = await asked.book(transfers, change, true);
      const done = booking.kind === 'booked' || booking.kind === 'repeated';
      return { state: done ? 'done' : 'failed', outcome: booking };
    },
  );
  return answered(cli, options, asked, { ...about, action: id }, outcome);
};

/** Empty where there is no such account. */
const currencyOf = async (database: Database, { account }: Asked): Promise<string> =>
  (await postgresLedger(database).balances()).find((one) => nameOf(one) === nameOf(account))
    ?.currency ?? '';

const answered = (
  cli: Cli,
  { json }: BookingOptions,
  { kind, what }: Asked,
  about: Omit<Answer, 'booking'>,
  booking: Booking,
): Answer => {
  if (json === true) {
    const { kind: outcome, ...rest } = booking;
    const currency = what['currency'] ?? about.currency;
    cli.printJson({ ...about, kind, ...what, currency, outcome, ...rest });
  }
  if (booking.kind === 'booked' || booking.kind === 'repeated') return { ...about, booking };
  if (json === true) throw new Unsuccessful();
  throw new NotNow(`${kind} refused, ${booking.kind}: ${WHY[booking.kind]}. Nothing was booked`);
};

/** For people: what came of it, with what is left; and without --apply how it is done. */
export const told = (
  cli: Cli,
  { applied, transferId: id, booking, action }: Answer,
  { typed }: Asked,
  words: { readonly would: string; readonly did: string; readonly left: string },
): void => {
  if (booking.kind === 'repeated')
    cli.print(
      `${words.did}: booked before, at ${booking.bookedAt.toISOString()} (transfer ${id}); nothing is booked again. Left then: ${words.left}`,
    );
  else if (applied) {
    cli.print(`${words.did} (transfer ${id}, action ${action ?? ''})`);
    cli.print(`left: ${words.left}`);
  } else {
    cli.print(`would ${words.would}; left then: ${words.left}`);
    cli.print(`Do it: millrace budget ${typed} --id ${id} --reason "..." --apply`);
  }
};
