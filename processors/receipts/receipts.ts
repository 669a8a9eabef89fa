import type { EpochMs } from '../../schemas/brand.js';
import { PipelineError } from '../../schemas/error.js';
import type { ProviderReceipt } from '../../schemas/generated/records.js';
import { channelsOf, templatesOf } from '../configuration.js';
import { feedbackId } from '../feedback-id.js';
import type { Decision, Processor, View } from '../processor.js';
import { unknownKey } from '../send/attempt-key.js';
import { amounts } from './amounts.js';
import type { Receipts } from './contract.js';
import type { AttemptRow } from './receipt-log.js';
import { transitionOf } from './transition.js';

/** How long a report that came before its attempt waits between looks. One delay, so that order is time order. */
export const RECEIPT_DELAY_MS = 5_000;
/**
 * An attempt whose feedback the sink has not seen so long after the report will not come: the longest call takes
 * 2 min, a fenced worker's claim is found within seconds of a restore.
 */
export const RECEIPT_PATIENCE_MS = 10 * 60_000;
/** However far the sink has come: a report of no attempt of ours ends as a dead letter. */
export const RECEIPT_BOUND_MS = 60 * 60_000;
/**
 * How often a report lets an earlier one of its attempt go first: for an hour. That one ends within the sink's lag,
 * unless it became a dead letter, as nobody knew its amount.
 */
export const EARLIER_LOOKS = RECEIPT_BOUND_MS / RECEIPT_DELAY_MS;

/** Everything learned after the provider's own answer, decided once per attempt and transition. */
export const receipts: Processor<Receipts> = {
  name: 'receipts',

  gather: (batch, { receiptLog }) =>
    receiptLog.decide(
      batch.map(({ at, value }) => ({
        at,
        attempt: value.attempt,
        provider: value.provider,
        providerMessageId: value.providerMessageId,
        transition: value.state,
      })),
    ),

  takeOver: (partitions, { receiptLog }) => receiptLog.takeOver(partitions),

  decide: ({ value: receipt }, answer, { now, tables }) => {
    switch (answer.kind) {
      case 'unknown_attempt':
        return waitFor(receipt, answer.passed, now);
      case 'earlier_pending':
        return waitForEarlier(receipt, now);
      case 'first':
      case 'again':
        return changed(receipt, answer.attempt, tables);
      case 'already':
        return {};
    }
  },

  metrics: {
    deferred: (decision) => written(decision, 'retry'),
    resolved: (decision) => written(decision, 'unknown'),
  },
};

const written = ({ emit }: Decision<Receipts>, name: keyof Receipts['to']): number =>
  emit?.filter(({ to }) => to === name).length ?? 0;

const waitFor = (
  receipt: ProviderReceipt,
  passed: EpochMs | null,
  now: EpochMs,
): Decision<Receipts> => {
  const sinkPassed = passed !== null && passed >= receipt.receivedAt + RECEIPT_PATIENCE_MS;
  if (sinkPassed || now >= receipt.receivedAt + RECEIPT_BOUND_MS)
    throw new PipelineError(
      'undecidable',
      `no attempt of ours belongs to this ${receipt.state} report of ${receipt.channel}/${receipt.provider} after ${String(receipt.deferrals)} looks`,
    );
  return deferred(receipt, now);
};

const waitForEarlier = (receipt: ProviderReceipt, now: EpochMs): Decision<Receipts> => {
  if (receipt.deferrals >= EARLIER_LOOKS)
    throw new PipelineError(
      'undecidable',
      `an earlier report on the attempt of this ${receipt.state} report of ${receipt.channel}/${receipt.provider} has not come to feedback after ${String(receipt.deferrals)} looks: look for its dead letter`,
    );
  return deferred(receipt, now);
};

const deferred = (receipt: ProviderReceipt, now: EpochMs): Decision<Receipts> => ({
  emit: [
    {
      to: 'retry',
      value: { ...receipt, deferrals: receipt.deferrals + 1, dueAt: now + RECEIPT_DELAY_MS },
    },
  ],
});

const changed = (
  receipt: ProviderReceipt,
  row: AttemptRow,
  tables: View<Receipts>['tables'],
): Decision<Receipts> => {
  const provider = channelsOf(tables.config)
    .get(row.channel)
    ?.providers.find(({ name }) => name === row.provider);
  const transition = transitionOf(row, receipt, {
    // A provider that is no longer configured: nothing is paid back on a guess.
    onDelivery: provider?.billing === 'on_delivery',
    receipts: provider?.receipts ?? true,
  });
  if (transition === null) return {};
  const { money, resolves, ...known } = transition;
  const template = templatesOf(tables.config).get(row.templateId);
  const value = {
    // An attempt may have been `unknown` before without an end, with its next one under way.
    feedbackId: feedbackId(row, transition.state === 'unknown' ? 'unknown.end' : transition.state),
    tenantId: row.tenantId,
    messageId: row.messageId,
    generation: row.generation,
    attempt: row.attempt,
    businessLine: row.businessLine,
    campaignId: row.campaignId,
    templateId: row.templateId,
    lane: row.lane,
    sequence: row.sequence + 1,
    channel: row.channel,
    provider: row.provider,
    ...known,
    providerCode: receipt.providerCode,
    providerMessageId: receipt.providerMessageId ?? row.providerMessageId,
    settlement: amounts(money, row, { provider, template }),
    recipientHash: row.recipientHash,
    createdAt: row.createdAt,
    attemptedAt: row.attemptedAt,
    occurredAt: receipt.receivedAt,
    labels: row.labels,
  };
  return {
    emit: [
      // The producer's key: post and reverse of one message must stay in order.
      { to: 'feedback', key: row.key, value },
      ...(resolves
        ? [{ to: 'unknown' as const, key: unknownKey(row, row.lane), value: null }]
        : []),
    ],
  };
};
