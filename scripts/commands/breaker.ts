import { userInfo } from 'node:os';
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { scopeOf } from '../../processors/breaker/scope.js';
import type { BreakerCommand } from '../../schemas/generated/records.js';
import { topicNames } from '../../topologies/topic-names.js';
import { recorded, requiredReason, withActions } from '../actions/recorded.js';
import type { Cli } from '../cli/cli.js';
import { withCodecs } from '../cli/codecs.js';
import { command } from '../cli/command.js';
import { NotNow } from '../cli/exit.js';
import { CONFIG_FOLDER, businessConfig, tableOf } from '../cli/installation.js';
import { RequestProducer } from '../produce/request-producer.js';

interface Options {
  readonly dir: string;
  readonly reason?: string;
  readonly apply?: true;
  readonly level?: 0 | 1;
}

const EFFECT = {
  hold: 'would hold it at its lowest rate until it is released',
  release: 'would open it at once; windows from before no longer count',
} as const;

const levelOf = (text: string): 0 | 1 => {
  if (text === '0') return 0;
  if (text === '1') return 1;
  throw new InvalidArgumentError('0: open; 1: half its present rate, recovers by itself');
};

/** Level 1 by hand: a scope is channel/<channel>/<provider>, as `millrace status` shows it. */
export const breakerHold = (cli: Cli): Command =>
  acting(
    cli,
    'hold',
    `Pin a provider at its lowest rate, whatever its windows say, until it is released. Nothing is stopped or parked:
route prefers others, and what has no room waits in retry.*.`,
  );

export const breakerRelease = (cli: Cli): Command =>
  acting(cli, 'release', 'Open a provider at once: held by a person, or lowered by its windows.');

export const breakerSet = (cli: Cli): Command =>
  acting(
    cli,
    'set',
    'Set a provider to level 0 (open) or 1 (half its present rate; it recovers by itself).',
  ).requiredOption('--level <level>', '0 or 1', levelOf);

const acting = (
  cli: Cli,
  action: 'hold' | 'release' | 'set',
  description: string,
): ReturnType<typeof command> => {
  const level = action === 'set' ? ' --level 1' : '';
  return command(
    action,
    `${description} Workers obey within a second of the scope's next window. Shows what would be done; --apply does it.`,
    [
      `millrace breaker ${action} channel/sms/aliyun-sms${level}`,
      `millrace breaker ${action} channel/sms/aliyun-sms${level} --reason "they asked us to" --apply`,
    ],
  )
    .argument('<scope>', 'channel/<channel>/<provider>')
    .option('--dir <folder>', 'business configuration: its providers have scopes', CONFIG_FOLDER)
    .option('--reason <text>', 'why; kept in the record of actions, and shown as the cause')
    .option('--apply', 'do it; default: show only')
    .action(async (scope: string, options: Options) => {
      const config = businessConfig(options.dir);
      const scopes = config.channels.flatMap(({ name, providers }) =>
        providers.map((provider) => scopeOf(name, provider.name)),
      );
      if (!scopes.includes(scope))
        throw new NotNow(`there is no scope ${scope}: ${scopes.join(', ')}`);
      const effect =
        action === 'set' ? `would set it to level ${options.level ?? 0}` : EFFECT[action];
      if (options.apply !== true) {
        cli.print(`${scope}: ${effect}. Do it: --reason "..." --apply`);
        return;
      }
      const reason = requiredReason(options.reason);
      const { kafka, registry, postgres } = cli.environment(['kafka', 'registry', 'postgres']);
      const topic = topicNames(kafka.prefix).breakerCommands;
      const table = tableOf(config, kafka.prefix).filter(({ name }) => name === topic);
      const value: BreakerCommand = {
        scope,
        action,
        level: options.level ?? null,
        reason,
        actor: userInfo().username,
        at: Date.now(),
      };
      const { id } = await withCodecs(registry, table, (codecs) =>
        withActions(postgres, (actions) =>
          recorded(actions, { command: `breaker ${action}`, reason, what: value }, async () => {
            const producer = await RequestProducer.open(kafka, () => undefined);
            try {
              const encoded = codecs.of('BreakerCommand', topic).encode(value);
              await producer.send({ topic, key: scope, value: encoded });
              await producer.settle();
            } finally {
              await producer.close();
            }
            return { state: 'done', outcome: {} };
          }),
        ),
      );
      cli.print(
        `${scope}: ${action} was written (action ${id}); millrace status shows what became of it`,
      );
    });
};
