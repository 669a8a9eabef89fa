import { decimalOf } from '../../schemas/config.js';
import type { ReconciliationReport } from '../../topologies/reconciliation.js';
import { CLASSES } from './classes.js';
import { subjectOf } from './report.js';

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
const escaped = (text: string): string => text.replaceAll(/[&<>"']/g, (one) => ENTITIES[one] ?? '');

type Cell = string | bigint;

const htmlTable = (head: readonly string[], rows: readonly (readonly Cell[])[]): string => {
  const row = (cells: readonly Cell[], tag: 'th' | 'td'): string =>
    `<tr>${cells.map((cell) => `<${tag}${/^-?\d+(\.\d+)?$/.test(String(cell)) ? ' class="n"' : ''}>${escaped(String(cell))}</${tag}>`).join('')}</tr>`;
  return `<table>\n<thead>${row(head, 'th')}</thead>\n<tbody>\n${rows.map((cells) => row(cells, 'td')).join('\n')}\n</tbody></table>`;
};

const STYLE = `body{font:14px/1.5 system-ui,sans-serif;margin:2rem;color:#222}table{border-collapse:collapse;margin:1rem 0}
th,td{border-bottom:1px solid #ccc;padding:.25rem .75rem;text-align:left;vertical-align:top}.n{text-align:right;font-variant-numeric:tabular-nums}`;

/** One page that needs nothing else: no scripts, nothing fetched. */
export const reportHtml = (report: ReconciliationReport, writtenAt: Date): string => {
  const { day, comparisons, counts, sums, examples, breaks } = report;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Reconciliation of ${escaped(day)}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>Reconciliation of ${escaped(day)} (UTC)</h1>
<p>Written ${writtenAt.toISOString()}. ${counts.reservations} reservations, ${counts.attempts} attempts, ${counts.feedback} feedback events, ${counts.statement} lines of a statement.</p>
<h2>Compared</h2>
${htmlTable(
  ['comparison', 'done', 'left out'],
  comparisons.map(({ comparison, done, note }) => [comparison, done ? 'yes' : 'no', note]),
)}
<h2>${breaks === 0n ? 'No breaks' : `${breaks} breaks`}</h2>
${
  breaks === 0n
    ? ''
    : `${htmlTable(
        ['class', 'breaks', 'cash', 'currency', 'PV', 'bookable', 'means', 'action'],
        sums.map((sum) => [
          sum.class,
          sum.breaks,
          decimalOf(sum.cashMicros),
          sum.currency,
          sum.units,
          sum.bookable,
          CLASSES[sum.class].means,
          CLASSES[sum.class].action,
        ]),
      )}
<h2>Each</h2>
<p>${examples.length} of ${breaks}.</p>
${htmlTable(
  ['class', 'of', 'cash', 'currency', 'PV', 'found', 'id'],
  examples.map((one) => [
    one.class,
    subjectOf(one),
    decimalOf(one.cashMicros),
    one.currency,
    one.units,
    one.detail,
    one.breakId,
  ]),
)}`
}
</body>
</html>
`;
};
