import { InvalidArgumentError } from 'commander';
import type { AccountName } from '../../sinks/postgres/transfers.js';
import { NotNow } from '../cli/exit.js';

export const nameOf = ({ tenantId, businessLine }: AccountName): string =>
  `${tenantId}/${businessLine}`;

/** Parser of an argument: tenant/line. */
export const accountName = (text: string): AccountName => {
  const [, tenantId, businessLine] = /^([^/]+)\/([^/]+)$/.exec(text) ?? [];
  if (tenantId === undefined || businessLine === undefined)
    throw new InvalidArgumentError(
      'an account is tenant/line, as millrace budget show lists them.',
    );
  return { tenantId, businessLine };
};

/**
 * The accounts that are named, by tenant/line or a tenant's all; all where nothing is named.
 * @throws NotNow where a name is none's
 */
export const chosen = <T extends AccountName>(
  accounts: readonly T[],
  names: readonly string[],
): readonly T[] => {
  const belongs = (account: T, name: string): boolean =>
    name === account.tenantId || name === nameOf(account);
  const nobodys = names.find((name) => !accounts.some((account) => belongs(account, name)));
  if (nobodys !== undefined)
    throw new NotNow(`there is no account ${nobodys}: millrace budget show lists them`);
  return names.length === 0
    ? accounts
    : accounts.filter((account) => names.some((name) => belongs(account, name)));
};
