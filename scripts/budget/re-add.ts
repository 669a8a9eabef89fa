import { spendCodec } from '../../processors/budget-reserve/spend-codec.js';
import { asError, PipelineError } from '../../schemas/error.js';
import { FORMATS } from '../../schemas/formats.js';
import { LANES } from '../../schemas/generated/records.js';
import { type SpentLease, spentLeases } from '../../sinks/postgres/lease-accounts.js';
import type { Database } from '../../sinks/postgres/pool.js';
import { readRange } from '../../topologies/runtime/range-reader.js';
import type { ClientSettings } from '../../topologies/runtime/rdkafka-client.js';
import type { TopicNames } from '../../topologies/topic-names.js';

/** A lease, as booked and as its log adds up. */
export interface ReAdded extends SpentLease {
  readonly spends: number;
  readonly logCash: bigint;
  readonly logUnits: bigint;
  /** same; differs; older: the log may have begun after it. */
  readonly verdict: 'same' | 'differs' | 'older';
}

/** The topic keeps 14 days; segments go whole, and clocks differ. */
const KEPT_MS = 13 * 86_400_000;

/** Adds up again what leases spent, from `internal.spends.*` up to where settle has booked it. */
export const reAdd = async (options: {
  readonly database: Database;
  readonly settings: ClientSettings;
  readonly names: TopicNames;
  /** Consumer name of settle. */
  readonly settle: string;
  readonly now: number;
}): Promise<{ readonly leases: readonly ReAdded[]; readonly spends: number }> => {
  const { database, settings, names, settle, now } = options;
  const { leases, booked } = await spentLeases(database, settle);
  const topics = LANES.map((lane) => names.internal.spends(lane));
  const ends = new Map(
    [...booked].filter(
      ([id, next]) => next > 0 && topics.some((topic) => id.startsWith(`${topic}/`)),
    ),
  );
  const sums = new Map<number, { spends: number; cash: bigint; units: bigint }>();
  const codec = spendCodec(FORMATS.spends);
  let all = 0;
  for await (const batch of ends.size === 0 ? [] : readRange({ settings, topics, to: { ends } })) {
    for (const { at, value } of batch) {
      if (value === null) continue;
      for (const { lease, cashMicros, units } of decoded(codec.decode, value, at)) {
        const sum = sums.get(lease) ?? { spends: 0, cash: 0n, units: 0n };
        sum.spends += 1;
        sum.cash += cashMicros;
        sum.units += BigInt(units);
        sums.set(lease, sum);
        all += 1;
      }
    }
  }
  return {
    spends: all,
    leases: leases.map((one) => {
      const { spends = 0, cash = 0n, units = 0n } = sums.get(one.lease) ?? {};
      const same = cash === one.cash && units === one.units;
      const older = one.openedAt.getTime() < now - KEPT_MS;
      return {
        ...one,
        spends,
        logCash: cash,
        logUnits: units,
        verdict: same ? 'same' : older ? 'older' : 'differs',
      };
    }),
  };
};

const decoded = (
  decode: (value: Buffer) => ReturnType<ReturnType<typeof spendCodec>['decode']>,
  value: Buffer,
  at: { readonly topic: string; readonly partition: number; readonly offset: number },
) => {
  try {
    return decode(value).spends;
  } catch (thrown) {
    throw new PipelineError(
      'undecodable',
      `${at.topic}/${String(at.partition)}/${String(at.offset)}: ${asError(thrown).message}`,
      thrown,
    );
  }
};
