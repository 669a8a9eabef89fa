import type { Command } from 'commander';
import { decimalOf } from '../../schemas/config.js';
import type { Quota, QuotaUse } from '../../sinks/postgres/quotas.js';
import { postgresQuotas } from '../../sinks/postgres/quotas.js';
import type { Cli } from '../cli/cli.js';
import { command } from '../cli/command.js';
import { NotNow } from '../cli/exit.js';
import { table } from '../cli/table.js';
import { withDatabase } from '../cli/with-database.js';

export const budgetQuota = (cli: Cli): Command =>
  command(
    'quota',
    `What may be sent over a channel in this day and month (UTC), and what is used of it.
  limit = of the configuration; past it an alert is raised
  stop  = limit x elasticFactor: beyond it messages are refused, or take another channel
  used  = posted, less paid back
  held  = what messages under way may cost on this channel
  share = (used + held) / limit`,
    [
      'millrace budget quota',
      'millrace budget quota lantern',
      `millrace budget quota --json | jq '.[] | select(.cash.past or .pv.past)'`,
    ],
  )
    .argument('[tenants...]', 'default: all')
    .option('--json', 'machine-readable: micros of the currency')
    .action(async (tenants: readonly string[], { json }: { readonly json?: true }) => {
      const all = await withDatabase(cli.environment(['postgres']).postgres, (database) =>
        postgresQuotas(database).at(Date.now()),
      );
      const none = tenants.find((name) => !all.some(({ tenantId }) => tenantId === name));
      if (none !== undefined)
        throw new NotNow(`${none} has no quotas: tenants.yaml sets them, millrace config apply`);
      const quotas = all.filter(
        ({ tenantId }) => tenants.length === 0 || tenants.includes(tenantId),
      );
      if (json === true) cli.printJson(quotas.map((one) => ({ ...one, ...shares(one) })));
      else if (quotas.length === 0)
        cli.print('There are no quotas: tenants.yaml sets them, millrace config apply');
      else cli.print(report(quotas));
    });

const shares = ({ cash, pv }: Quota) => ({
  cash: cash === null ? null : { ...cash, share: shareOf(cash) },
  pv: pv === null ? null : { ...pv, share: shareOf(pv) },
});

/** null: of a limit of nothing. */
const shareOf = ({ limit, used, held }: QuotaUse): number | null =>
  limit === 0n ? null : Number(((used + held) * 10_000n) / limit) / 10_000;

const report = (quotas: readonly Quota[]): string =>
  table(
    ['whose', 'channel', 'period', '', 'limit', 'stop', 'used', 'held', 'share', ''],
    quotas.flatMap((quota) => {
      const { tenantId, businessLine, channel, currency, cash, pv } = quota;
      const name = [
        businessLine === null ? `${tenantId} (all)` : `${tenantId}/${businessLine}`,
        channel,
        periodOf(quota),
      ];
      const rows = [
        ...(cash === null ? [] : [[currency ?? '', ...cells(cash, decimalOf)]]),
        ...(pv === null ? [] : [['PV', ...cells(pv, String)]]),
      ];
      return rows.map((row, index) => [...(index === 0 ? name : ['', '', '']), ...row]);
    }),
  );

/** 2026-05-20, or 2026-05. */
const periodOf = ({ period, starts }: Quota): string =>
  period === 'day' ? starts : starts.slice(0, 7);

const cells = (use: QuotaUse, text: (amount: bigint) => string): readonly string[] => {
  const { limit, stop, used, held } = use;
  const share = shareOf(use);
  return [
    ...[limit, stop, used, held].map(text),
    share === null ? '' : `${(share * 100).toFixed(1)} %`,
    stateOf(use),
  ];
};

const stateOf = ({ stop, used, held, past }: QuotaUse): string => {
  if (used + held >= stop) return past ? 'past the limit, at the stop' : 'at the stop';
  return past ? 'past the limit' : '';
};
