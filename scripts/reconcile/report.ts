import { decimalOf } from '../../schemas/config.js';
import type { Break } from '../../sinks/postgres/reconciliation.js';
import type { ReconciliationReport } from '../../topologies/reconciliation.js';
import { table } from '../cli/table.js';
import { CLASSES } from './classes.js';

/** A break's subject: an account, a message, or what of the statement. */
export const subjectOf = ({ tenantId, businessLine, messageId, attempt }: Break): string =>
  [
    tenantId === null ? '' : `${tenantId}/${businessLine ?? ''}`,
    messageId ?? '',
    attempt === null ? '' : `#${attempt}`,
  ]
    .filter((part) => part !== '')
    .join(' ');

const SHOWN = 20;

/** For people. */
export const reportText = (report: ReconciliationReport): string => {
  const { day, comparisons, counts, sums, examples, breaks } = report;
  const lines = [
    `${day} (UTC): ${counts.reservations} reservations, ${counts.attempts} attempts, ${counts.feedback} feedback events${counts.statement === 0n ? '' : `, ${counts.statement} lines of the statement`}`,
    ...comparisons.map(
      ({ comparison, done, note }) =>
        `${done ? 'compared' : 'NOT compared'}: ${comparison}${note === '' ? '' : ` (${note})`}`,
    ),
  ];
  if (breaks === 0n) return [...lines, 'no breaks'].join('\n');
  return [
    ...lines,
    '',
    table(
      ['class', 'breaks', 'cash', '', 'PV', 'bookable'],
      sums.map((sum) => [
        sum.class,
        sum.breaks,
        decimalOf(sum.cashMicros),
        sum.currency,
        sum.units,
        sum.bookable,
      ]),
    ),
    '',
    ...[...new Set(sums.map((sum) => sum.class))].map(
      (name) => `${name}: ${CLASSES[name].means}. ${CLASSES[name].action}`,
    ),
    '',
    table(
      ['class', 'of', 'cash', '', 'PV', 'found'],
      examples
        .slice(0, SHOWN)
        .map((one) => [
          one.class,
          subjectOf(one),
          decimalOf(one.cashMicros),
          one.currency,
          one.units,
          one.detail,
        ]),
    ),
    ...(breaks > BigInt(SHOWN)
      ? [`... ${SHOWN} of ${breaks} shown: --json or --html for more`]
      : []),
  ].join('\n');
};
