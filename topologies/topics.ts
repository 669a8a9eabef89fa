import type { ScopeState } from '../processors/breaker/scope.js';
import type { LeaseState } from '../processors/budget-reserve/leases.js';
import { spendCodec } from '../processors/budget-reserve/spend-codec.js';
import type { SpendBatch } from '../processors/budget-reserve/spend.js';
import { DEDUPE_SPAN_MS } from '../processors/dedupe/span.js';
import type { Entry } from '../processors/release/schedule.js';
import { claimCodec } from '../processors/send/claim-codec.js';
import type { Claim } from '../processors/send/claim.js';
import { retryDelayOf } from '../processors/send/retry.js';
import type { MergeState } from '../processors/windows/merge-state.js';
import type { WindowPartial } from '../processors/windows/partial.js';
import { mergingCodec, openCodec, partialsCodec } from '../processors/windows/window-codec.js';
import type { Resend, Waiting } from '../processors/unknown/contract.js';
import { waitingCodec } from '../processors/unknown/waiting-codec.js';
import type { WindowPartials } from '../processors/windows/partials.js';
import { SETTLED_REFUSAL, type Settled } from '../processors/settle/postings.js';
import { PipelineError } from '../schemas/error.js';
import { FORMATS } from '../schemas/formats.js';
import { LANES, type Lane, type MessageRouted } from '../schemas/generated/records.js';
import { idBatchCodec } from '../schemas/id-batch.js';
import { internalJson } from '../schemas/internal-codec.js';
import type { Codec, Topic, TopicFamily } from '../schemas/record.js';
import type { RecordName, RecordTypes } from '../schemas/record-types.js';
import type { Codecs } from '../schemas/topic-codecs.js';
import { RETRY_DELAYS, RETRY_DELAY_MS, topicNames } from './topic-names.js';
import type { IdLog, PackedLog } from './topology.js';

export interface TopicsOptions {
  readonly prefix: string;
  readonly codecs: Codecs;
  /** Configured channels: routed.<channel>.<lane> exists for these only. */
  readonly channels: readonly string[];
  readonly tenantsWithOwnIngest: readonly string[];
}

/** The topics of the wiring, typed. Names and settings are in topic-table.ts; here is what travels on them. */
export const typedTopics = ({ prefix, codecs, channels, tenantsWithOwnIngest }: TopicsOptions) => {
  const names = topicNames(prefix);
  const topic = <N extends RecordName>(record: N, name: string): Topic<RecordTypes[N]> => ({
    name,
    codec: codecs.of(record, name),
  });
  const routedOn = (channel: string, lane: Lane) =>
    topic('MessageRouted', names.routed(channel, lane));

  const spends = spendCodec(FORMATS.spends);
  const lane = (of: Lane) => {
    const deduped = topic('MessageDeduped', names.deduped(of));
    const routed = new Map(channels.map((channel) => [channel, routedOn(channel, of)]));
    const retry = RETRY_DELAYS.map((delay) => ({
      delayMs: RETRY_DELAY_MS[delay],
      topic: topic('MessageRouted', names.retry(delay, of)),
    }));
    const claim = claimCodec(codecs.of('MessageRouted', names.retry('5s', of)));
    return {
      ingest: {
        all: [
          names.ingest(of),
          ...tenantsWithOwnIngest.map((tenant) => names.tenantIngest(tenant, of)),
        ].map((name) => topic('MessageRequest', name)),
        pick: () => topic('MessageRequest', names.ingest(of)),
      } satisfies TopicFamily<RecordTypes['MessageRequest']>,
      deduped,
      reserved: topic('BudgetReserved', names.reserved(of)),
      parked: topic('Parked', names.parked(of)),
      routed: {
        all: [...routed.values()],
        pick: ({ channel }) => {
          const found = routed.get(channel);
          if (found === undefined) {
            throw new PipelineError(
              'undecidable',
              `channel ${channel} has no topic: restart the workers after \`millrace topics apply\``,
            );
          }
          return found;
        },
      } satisfies TopicFamily<MessageRouted>,
      retry: {
        all: retry.map((one) => one.topic),
        pick: (value) => {
          const delayMs = retryDelayOf(value);
          const found = retry.find((one) => one.delayMs === delayMs);
          if (found === undefined)
            throw new PipelineError('defect', `no retry topic waits ${delayMs} ms`);
          return found.topic;
        },
      } satisfies TopicFamily<MessageRouted>,
      seen: {
        name: names.internal.dedupe(of),
        codec: idBatchCodec(),
        spanMs: DEDUPE_SPAN_MS,
      } satisfies IdLog,
      /** What partitions spent of leases. */
      spends: { name: names.internal.spends(of), codec: spends } satisfies Topic<SpendBatch>,
      /** What the partition may spend of accounts without asking. */
      leases: {
        name: names.internal.leases(of),
        codec: internalJson<LeaseState>(FORMATS.leases),
      } satisfies Topic<LeaseState>,
      /** again.*: what comes back in, as the stage's own input. */
      again: {
        request: topic('MessageRequest', names.again('dedupe', of)),
        deduped: topic('MessageDeduped', names.again('budget-reserve', of)),
        reserved: topic('BudgetReserved', names.again('route', of)),
        routed: topic('MessageRouted', names.again('send', of)),
      },
      /** When what is parked comes back. */
      schedule: {
        name: names.internal.schedule(of),
        codec: internalJson<Entry>(FORMATS.schedules),
      } satisfies Topic<Entry>,
      claims: {
        name: names.internal.claims(of),
        codec: claim,
        packed: true,
      } satisfies PackedLog<Claim>,
      claimsRetry: {
        name: names.internal.claimsRetry(of),
        codec: claim,
        packed: true,
      } satisfies PackedLog<Claim>,
    };
  };

  /** To the retry topic of a record's own lane: written only. */
  const resend = (): TopicFamily<Resend> => {
    const all = LANES.flatMap((of) =>
      RETRY_DELAYS.map((delay) => {
        const { name, codec } = topic('MessageRouted', names.retry(delay, of));
        const value: Topic<Resend> = {
          name,
          codec: {
            encode: ({ routed }) => codec.encode(routed),
            decode: (bytes) => ({ lane: of, routed: codec.decode(bytes) }),
          },
        };
        return { of, delayMs: RETRY_DELAY_MS[delay], topic: value };
      }),
    );
    return {
      all: all.map((one) => one.topic),
      pick: ({ lane: wanted, routed }) => {
        const delayMs = retryDelayOf(routed);
        const found = all.find((one) => one.of === wanted && one.delayMs === delayMs);
        if (found === undefined)
          throw new PipelineError('defect', `no retry topic of ${wanted} waits ${delayMs} ms`);
        return found.topic;
      },
    };
  };

  const unknownCodec = codecs.of('MessageRouted', names.retry('5s', 'p0'));
  const feedback = topic('DeliveryFeedback', names.feedback);
  return {
    names,
    lane,
    feedback,
    refused: topic('MessageRefused', names.refused),
    receipts: topic('ProviderReceipt', names.receipts),
    retryReceipts: topic('ProviderReceipt', names.retryReceipts),
    windows: topic('ChannelWindow', names.windows),
    levels: topic('BreakerLevel', names.breakerLevels),
    commands: topic('BreakerCommand', names.breakerCommands),
    config: topic('ConfigEntry', names.config),
    accounts: topic('AccountLevel', names.accounts),
    partials: {
      name: names.internal.windowsPartials,
      codec: partialsCodec(),
    } satisfies Topic<WindowPartial>,
    windowsOpen: {
      name: names.internal.windowsOpen,
      codec: openCodec(),
    } satisfies Topic<WindowPartials['state']['open']>,
    windowsMerging: {
      name: names.internal.windowsMerging,
      codec: mergingCodec(),
    } satisfies Topic<MergeState>,
    breakerScopes: {
      name: names.internal.breakerScopes,
      codec: internalJson<ScopeState>(FORMATS.breakerScopes),
    } satisfies Topic<ScopeState>,
    /** Whole records of unknown attempts; the runtime writes null, a tombstone, without the codec. */
    unknown: { name: names.internal.unknown, codec: unknownCodec } satisfies Topic<MessageRouted>,
    unknownResolved: {
      name: names.internal.unknown,
      codec: unknownCodec as Codec<MessageRouted | null>,
      tombstones: true,
    } satisfies Topic<MessageRouted | null>,
    unknownWaiting: {
      name: names.internal.unknownWaiting,
      codec: waitingCodec(unknownCodec),
    } satisfies Topic<Waiting>,
    resend: resend(),
    /** What settle reads: feedback; of refused the few fields that mean money; what leases spent. */
    settled: [
      { name: names.feedback, codec: feedback.codec as Codec<Settled> },
      {
        name: names.refused,
        codec: codecs.project('MessageRefused', names.refused, SETTLED_REFUSAL) as Codec<Settled>,
      },
      ...LANES.map((of) => ({
        name: names.internal.spends(of),
        codec: spends as Codec<Settled>,
      })),
    ] satisfies Topic<Settled>[],
  };
};

export type TypedTopics = ReturnType<typeof typedTopics>;
