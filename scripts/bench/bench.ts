import { Command, Option } from 'commander';
import { asError } from '../../schemas/error.js';
import { integer } from '../cli/options.js';
import { chain } from './chain.js';
import { dedupeRestore } from './dedupe-restore.js';
import { failover } from './failover.js';
import { median, round, surroundings } from './figures.js';
import { lanes } from './lanes.js';
import { latency } from './latency.js';
import { leasesBench } from './leases.js';
import { IDS, ledgerBench } from './ledger.js';
import { PEER_DOES_NOT, peerFolder, runPeer, runPeerLatency } from './peer.js';
import { reconcileBench } from './reconcile.js';
import { replayBench } from './replay.js';
import { warmUp } from './warm-up.js';

interface Common {
  readonly json?: true;
}

interface Warmed extends Common {
  readonly warmUp: boolean;
}

const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

const print = (suite: string, figures: object, { json }: Common): void => {
  const result = { suite, ...figures, ...surroundings() };
  process.stdout.write(`${JSON.stringify(result, undefined, json === true ? undefined : 2)}\n`);
};

const JSON_OPTION = ['--json', 'one line of JSON'] as const;
const WARM_UP_OPTION = ['--no-warm-up', 'the broker and the stores are warm already'] as const;

interface ChainOptions extends Warmed {
  readonly messages: number;
  readonly runs: number;
  readonly processes: 1 | 2;
  readonly peer?: true;
}

const chainCommand = new Command('chain')
  .description(
    'Throughput of the whole chain: preloaded ingest to the last feedback committed and settled',
  )
  .option('--messages <n>', 'different messages', integer(1_000, 10_000_000), 100_000)
  .option('--runs <n>', 'runs; the median is reported', integer(1, 20), 1)
  .option(
    '--processes <n>',
    'worker processes: all groups in one, or intake in one of its own',
    integer(1, 2),
    2,
  )
  .option('--peer', 'also run the Kafka Streams peer, interleaved (MILLRACE_PEER_DIR)')
  .option(...WARM_UP_OPTION)
  .option(...JSON_OPTION)
  .action(async (options: ChainOptions) => {
    const { processes } = options;
    const folder = options.peer === true ? peerFolder(process.env) : null;
    if (options.warmUp) await warmUp(say);
    const ours = [];
    const peers = [];
    for (let run = 0; run < options.runs; run++) {
      ours.push(await chain(options.messages, processes, say));
      if (folder === null) continue;
      say('peer');
      peers.push(await runPeer(folder, process.env['KAFKA_BROKERS'] ?? '', options.messages));
    }
    const rate = median(ours.map((one) => one.rate));
    const best = ours.find((one) => one.rate === rate);
    const peerRate = median(peers.map((one) => one.perSecondFromStart));
    print(
      'chain',
      {
        ours: best && { ...best, processes },
        runs: ours.map((one) => one.rate),
        ...(folder !== null && {
          peer: {
            rate: peerRate,
            runs: peers.map((one) => one.perSecondFromStart),
            doesNot: PEER_DOES_NOT,
          },
          ratio: round(rate / peerRate, 3),
        }),
      },
      options,
    );
  });

const latencyCommand = new Command('latency')
  .description('Open loop: intended send time to feedback seen read_committed')
  .option('--rate <n>', 'messages a second', integer(1, 100_000), 1_000)
  .option('--seconds <n>', 'measured, after 15 s of warm-up', integer(1, 3_600), 30)
  .option('--peer', 'also the Kafka Streams peer, as it comes and tuned (MILLRACE_PEER_DIR)')
  .option(...WARM_UP_OPTION)
  .option(...JSON_OPTION)
  .action(async (options: Warmed & { rate: number; seconds: number; peer?: true }) => {
    const { rate, seconds } = options;
    const folder = options.peer === true ? peerFolder(process.env) : null;
    if (options.warmUp) await warmUp(say);
    const ours = await latency(rate, seconds);
    if (folder === null) {
      print('latency', { ours }, options);
      return;
    }
    const ofPeer = async (tuned: boolean) => {
      say(`peer${tuned ? ', tuned' : ''}`);
      const brokers = process.env['KAFKA_BROKERS'] ?? '';
      const { p50Ms, p99Ms, maxMs, missing } = await runPeerLatency(folder, brokers, {
        rate,
        seconds,
        tuned,
      });
      return { p50Ms, p99Ms, maxMs, missing };
    };
    const asItComes = await ofPeer(false);
    const tuned = await ofPeer(true);
    print(
      'latency',
      {
        ours,
        peer: { asItComes, tuned, doesNot: PEER_DOES_NOT },
        ratio: round(ours.p99Ms / Math.min(asItComes.p99Ms, tuned.p99Ms), 3),
      },
      options,
    );
  });

const lanesCommand = new Command('lanes')
  .description('P0 latency alone, and beside a flood of P3 whose provider fails')
  .option('--flood <n>', 'P3 messages waiting', integer(1_000, 10_000_000), 50_000)
  .option('--rate <n>', 'P0 messages a second', integer(1, 10_000), 100)
  .option('--messages <n>', 'P0 messages measured, each time', integer(100, 1_000_000), 2_000)
  .option(...WARM_UP_OPTION)
  .option(...JSON_OPTION)
  .action(async (options: Warmed & { flood: number; rate: number; messages: number }) => {
    if (options.warmUp) await warmUp(say);
    const ours = await lanes(
      { flood: options.flood, p0Rate: options.rate, p0Messages: options.messages },
      say,
    );
    print('lanes', { ours }, options);
  });

const dedupeRestoreCommand = new Command('dedupe-restore')
  .description(
    'Dedupe’s partition layer: bytes an id, and seconds to restore it from its changelog',
  )
  .option('--ids <n>', 'ids of a day', integer(1_000, 100_000_000), 10_000_000)
  .option('--ids-per-record <n>', 'of one transaction', integer(1, 10_000), 200)
  .option(...JSON_OPTION)
  .action(async (options: Common & { ids: number; idsPerRecord: number }) => {
    print('dedupe-restore', { ours: await dedupeRestore(options, say) }, options);
  });

const replayCommand = new Command('replay')
  .description(
    'Replay of delivered messages: records a second put back, and that nothing comes of it',
  )
  .option('--messages <n>', 'different messages', integer(1_000, 10_000_000), 100_000)
  .option(...JSON_OPTION)
  .action(async (options: Common & { messages: number }) => {
    print('replay', { ours: await replayBench(options.messages, say) }, options);
  });

const failoverCommand = new Command('failover')
  .description('A worker’s SIGKILL until the other has delivered what was written to its share')
  .option('--rounds <n>', 'kills', integer(1, 1_000), 10)
  .option('--rate <n>', 'messages a second', integer(1, 10_000), 100)
  .option(...JSON_OPTION)
  .action(async (options: Common & { rounds: number; rate: number }) => {
    print('failover', { ours: await failover(options, say) }, options);
  });

const ledgerCommand = new Command('ledger')
  .description('Reserve and post in sets of 500, on one account and on a thousand')
  .option('--rows <n>', 'of the tables that have grown', integer(0, 100_000_000), 10_000_000)
  .option('--rounds <n>', 'medians of so many', integer(1, 100), 5)
  .addOption(
    new Option('--ids <version>', 'of messages: by time, or random').choices(IDS).default(IDS[0]),
  )
  .option(...JSON_OPTION)
  .action(async (options: Common & { rows: number; rounds: number; ids: (typeof IDS)[number] }) => {
    print('ledger', await ledgerBench(options, say), options);
  });

const leasesCommand = new Command('leases')
  .description(
    'Leased mode without Kafka: what Postgres is asked for 50 accounts, and 100 accounts that run dry, to the message',
  )
  .option('--messages <n>', 'of accounts with plenty', integer(1_000, 10_000_000), 100_000)
  .option('--tasks <n>', 'that spend at once', integer(1, 64), 4)
  .option(...JSON_OPTION)
  .action(async (options: Common & { messages: number; tasks: number }) => {
    print('leases', await leasesBench(options, say), options);
  });

const reconcileCommand = new Command('reconcile')
  .description(
    'Reconciliation of a day: ledger, attempts, feedback in Kafka, a provider’s statement',
  )
  .option('--rows <n>', 'reservations of the day', integer(1_000, 100_000_000), 1_000_000)
  .option(...JSON_OPTION)
  .action(async (options: Common & { rows: number }) => {
    print('reconcile', { ours: await reconcileBench(options, say) }, options);
  });

const program = new Command('bench')
  .description(
    'Performance, measured on this machine against the local stack. Quote ratios of one run, not absolutes.',
  )
  .addCommand(chainCommand)
  .addCommand(latencyCommand)
  .addCommand(lanesCommand)
  .addCommand(dedupeRestoreCommand)
  .addCommand(replayCommand)
  .addCommand(failoverCommand)
  .addCommand(ledgerCommand)
  .addCommand(leasesCommand)
  .addCommand(reconcileCommand);

try {
  await program.parseAsync();
} catch (thrown) {
  say(`bench: ${asError(thrown).message}`);
  process.exitCode = 1;
}
