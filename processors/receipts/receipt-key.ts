import type { ProviderReceipt } from '../../schemas/generated/records.js';

/**
 * The Kafka key in `receipts`: all reports on one message in one partition, so that they are decided in the order in
 * which they came. A report that names no attempt goes by the provider's id.
 */
export const receiptKey = ({
  attempt,
  provider,
  providerMessageId,
}: Pick<ProviderReceipt, 'attempt' | 'provider' | 'providerMessageId'>): string =>
  attempt === null
    ? `${provider}|${providerMessageId ?? ''}`
    : `${attempt.tenantId}|${attempt.messageId}`;
