import { InvalidArgumentError } from 'commander';
import { decimalOf, microsOf } from '../../schemas/config.js';
import type { AccountBalance } from '../../sinks/postgres/ledger.js';
import type { AccountName, Left } from '../../sinks/postgres/transfers.js';
import { UsageError } from '../cli/exit.js';
import { nameOf } from './accounts.js';

/** What is to be moved. */
export interface Amounts {
  readonly cashMicros: bigint;
  readonly units: bigint;
  /** null: PV alone. */
  readonly currency: string | null;
}

export interface AmountOptions {
  readonly cash?: bigint;
  readonly currency?: string;
  readonly units?: bigint;
}

/** Parser of --cash: decimal text to micros, exactly. */
export const cash = (text: string): bigint => {
  if (!/^\d+(\.\d{1,6})?$/.test(text))
    throw new InvalidArgumentError('an amount such as 500 or 0.045, at most 6 places.');
  return microsOf(text);
};

/** Parser of --units. */
export const units = (text: string): bigint => {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('a whole number of PV.');
  return BigInt(text);
};

/** @throws UsageError: an amount without its currency could be meant in another. */
export const amountsOf = (options: AmountOptions): Amounts => {
  const { cash: cashMicros, units: pv, currency } = options;
  if (cashMicros === undefined && pv === undefined)
    throw new UsageError('give --cash with --currency, --units, or all three');
  if (cashMicros !== undefined && currency === undefined)
    throw new UsageError('--cash needs --currency, e.g. --currency CNY');
  return { cashMicros: cashMicros ?? 0n, units: pv ?? 0n, currency: currency ?? null };
};

/** As typed again. */
export const typedAmounts = ({ cashMicros, units: pv, currency }: Amounts): string =>
  [
    ...(currency === null ? [] : [`--cash ${decimalOf(cashMicros)} --currency ${currency}`]),
    ...(pv === 0n ? [] : [`--units ${pv}`]),
  ].join(' ');

const text = (cashMicros: bigint, currency: string, pv: bigint): string =>
  `${decimalOf(cashMicros)} ${currency} and ${pv} PV`;

/** What is moved, for people: 500.00 CNY and 1000 PV, or one of them. */
export const sumText = ({ cashMicros, units: pv, currency }: Amounts): string => {
  if (currency === null) return `${pv} PV`;
  return pv === 0n ? `${decimalOf(cashMicros)} ${currency}` : text(cashMicros, currency, pv);
};

/** What an account holds, for people. */
export const leftText = (account: AccountName, left: Left | null, currency: string): string =>
  left === null
    ? `${nameOf(account)}: not known`
    : `${nameOf(account)}: ${text(left.cashMicros, currency, left.units)} available`;

export const pendingText = ({ cash: { pending }, pv, currency }: AccountBalance): string =>
  text(pending, currency, pv.pending);
