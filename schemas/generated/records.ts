// Made from schemas/avro by `npm run schemas:generate`. Never edited: tests compare.
import type { EpochMs, MessageId, Micros, TenantId } from '../brand.js';

/** The state of one budget account. Key: tenant/businessLine. */
export interface AccountLevel {
  /** Tenant. */
  readonly tenantId: TenantId;
  /** Business line. */
  readonly businessLine: string;
  /** ISO 4217 code. */
  readonly currency: string;
  /** Micros (1e-6) of the currency. */
  readonly cash: BudgetCounters;
  /** PV units. */
  readonly pv: BudgetCounters;
  /** The smaller of cash and PV: (available + unspent leases) / the balance after the last recharge. */
  readonly share: number;
  /** False: closed, refuses everything. */
  readonly open: boolean;
  /** True: owners of leases return them. */
  readonly recalling: boolean;
  /** Milliseconds since the epoch, UTC. */
  readonly at: EpochMs;
}

/** Names one attempt of one message. */
export interface AttemptReference {
  /** The tenant. */
  readonly tenantId: TenantId;
  /** The message. */
  readonly messageId: MessageId;
  /** Its generation. */
  readonly generation: number;
  /** Its attempt, from 1. */
  readonly attempt: number;
}

/** What a person or program asks of the breaker. */
export interface BreakerCommand {
  /** As in BreakerLevel. */
  readonly scope: string;
  /** hold, release, confirm or set. */
  readonly action: string;
  /** set: the level. */
  readonly level: number | null;
  /** Why, for the record. */
  readonly reason: string;
  /** Who. */
  readonly actor: string;
  /** Milliseconds since the epoch, UTC. */
  readonly at: EpochMs;
}

/** The level of one scope, and why it changed. Key: the scope. */
export interface BreakerLevel {
  /** channel/<channel>/<provider>, account/<tenant>/<businessLine>, or global. */
  readonly scope: string;
  /** Level 1. */
  readonly channel: string | null;
  /** Level 1. */
  readonly provider: string | null;
  /** 0 closed, 1 channel, 2 account, 3 global. */
  readonly level: number;
  /** The level before. */
  readonly fromLevel: number;
  /** Share of the normal send rate, 1 = all of it. */
  readonly rateFactor: number;
  /** The factor before. */
  readonly fromRateFactor: number;
  /** True: route prefers another provider; it never forbids. */
  readonly avoid: boolean;
  /** In words: the rule and the figures that moved it. */
  readonly cause: string;
  /** The window that caused it. */
  readonly windowStart: EpochMs | null;
  /** Its length in milliseconds. */
  readonly windowMs: number | null;
  /** Its error rate. */
  readonly errorRate: number | null;
  /** Its attempts. */
  readonly attempts: number | null;
  /** When this level began: milliseconds since the epoch, UTC. */
  readonly since: EpochMs;
  /** When this event was written (heartbeats renew it): milliseconds since the epoch, UTC. */
  readonly at: EpochMs;
  /** True: nothing changed, the breaker is alive. */
  readonly heartbeat: boolean;
}

/** granted = available + pending + posted, always; each at least 0. */
export interface BudgetCounters {
  /** Ever granted. */
  readonly granted: bigint;
  /** Free to reserve. */
  readonly available: bigint;
  /** Reserved, not resolved. */
  readonly pending: bigint;
  /** Spent. */
  readonly posted: bigint;
}

/** A message whose worst-case cost is reserved, in cash and in PV. */
export interface BudgetReserved {
  /** The message as it passed dedupe. */
  readonly deduped: MessageDeduped;
  /** Reserved cash in micros (1e-6) of the currency: the most it can cost on any candidate channel. */
  readonly cashMicros: Micros;
  /** Reserved PV units. */
  readonly units: number;
  /** ISO 4217 code of the account. */
  readonly currency: string;
  /** The lease it was spent from. Absent: reserved directly, with a row of its own. */
  readonly leaseId: string | null;
  /** Channels that route may choose from, in order of preference: allowed, addressable, with quota. */
  readonly candidates: readonly string[];
  /** When the reservation was decided: milliseconds since the epoch, UTC. */
  readonly reservedAt: EpochMs;
}

/** channel: channel x provider x lane; tenant: tenant x channel. */
export const WINDOW_SERIESS = ['channel', 'tenant'] as const;
export type WindowSeries = (typeof WINDOW_SERIESS)[number];

/** Counts of one tumbling window of one series; a higher revision replaces a lower one. */
export interface ChannelWindow {
  /** Which grouping. */
  readonly series: WindowSeries;
  /** Channel. */
  readonly channel: string;
  /** channel series: the provider. */
  readonly provider: string | null;
  /** channel series: the lane. */
  readonly lane: Lane | null;
  /** tenant series: the tenant. */
  readonly tenantId: TenantId | null;
  /** Start, inclusive: milliseconds since the epoch, UTC. */
  readonly windowStart: EpochMs;
  /** Length in milliseconds. */
  readonly windowMs: number;
  /** 0 when first closed, plus one for each late change. */
  readonly revision: number;
  /** False: closed because a source partition stayed silent; may be revised. */
  readonly complete: boolean;
  /** Answers of providers: the denominator of errorRate. */
  readonly attempts: number;
  /** First attempts. */
  readonly messages: number;
  /** Accepted by the provider. */
  readonly accepted: number;
  /** Reported delivered. */
  readonly delivered: number;
  /** Failed: recipient. */
  readonly failedRecipient: number;
  /** Failed: content. */
  readonly failedContent: number;
  /** Failed: our account at the provider. */
  readonly failedAccount: number;
  /** Failed: the provider. */
  readonly failedProvider: number;
  /** Throttled. */
  readonly throttled: number;
  /** Ambiguous time-outs. */
  readonly timeout: number;
  /** Outcome unknown. */
  readonly unknown: number;
  /** Posted amounts paid back. */
  readonly reversed: number;
  /** Posted minus reversed cash, micros (1e-6). */
  readonly costMicros: Micros;
  /** Posted minus reversed PV units. */
  readonly units: number;
  /** (failedProvider + timeout + failedAccount) / attempts; 0 where attempts is 0. */
  readonly errorRate: number;
  /** Provider call latency. */
  readonly latencyP50Ms: number;
  /** Provider call latency. */
  readonly latencyP95Ms: number;
  /** Provider call latency. */
  readonly latencyP99Ms: number;
  /** Provider call latency. */
  readonly latencyMaxMs: number;
  /** Age of messages when their first attempt was made, from createdAt or notBefore. */
  readonly queueAgeP99Ms: number;
  /** When this revision was written: milliseconds since the epoch, UTC. */
  readonly closedAt: EpochMs;
}

/** One published piece of business configuration. Key: kind/name. */
export interface ConfigEntry {
  /** tenants, templates, channels, policy, lanes, windows or breaker. */
  readonly kind: string;
  /** Name within the kind. */
  readonly name: string;
  /** SHA-256 of the body, hex. */
  readonly version: string;
  /** The configuration as JSON, already validated. */
  readonly body: string;
  /** Milliseconds since the epoch, UTC. */
  readonly appliedAt: EpochMs;
  /** Who applied it. */
  readonly appliedBy: string;
}

/** What became of one attempt, and each later change. Carries no recipient and no params. */
export interface DeliveryFeedback {
  /** UUID of this event; the same event written again has the same id. */
  readonly feedbackId: string;
  /** The request's. */
  readonly messageId: MessageId;
  /** The request's generation. */
  readonly generation: number;
  /** The request's. */
  readonly tenantId: TenantId;
  /** The request's. */
  readonly businessLine: string;
  /** The request's. */
  readonly campaignId: string | null;
  /** The request's. */
  readonly templateId: string;
  /** The lane it came in by. */
  readonly lane: Lane;
  /** Which call of a provider, from 1. 0: none was made. */
  readonly attempt: number;
  /** Counts this message's feedback from 1. */
  readonly sequence: number;
  /** The attempt's channel. */
  readonly channel: string;
  /** The attempt's provider. */
  readonly provider: string;
  /** What is known now. */
  readonly state: DeliveryState;
  /** True: nothing more will be tried for this message. Later receipts may still refine it. */
  readonly terminal: boolean;
  /** Whose fault, where state is failed, unknown or held. */
  readonly class: FailureClass | null;
  /** The provider's own code. */
  readonly providerCode: string | null;
  /** The provider's own id of the message. */
  readonly providerMessageId: string | null;
  /** What it means for money. */
  readonly settlement: Settlement;
  /** Keyed HMAC-SHA256 of tenant and recipient's user id, hex. */
  readonly recipientHash: string;
  /** The request's createdAt. */
  readonly createdAt: EpochMs;
  /** When the provider was called: milliseconds since the epoch, UTC. */
  readonly attemptedAt: EpochMs;
  /** When we took the answer or receipt: milliseconds since the epoch, UTC, our clock. */
  readonly occurredAt: EpochMs;
  /** The request's labels. */
  readonly labels: Readonly<Record<string, string>>;
}

/** accepted: the provider took it; delivered: the carrier reported it; failed; unknown: nobody can say; held: outcome unknown, waiting for receipt, query or a person. */
export const DELIVERY_STATES = ['unknown', 'accepted', 'delivered', 'failed', 'held'] as const;
export type DeliveryState = (typeof DELIVERY_STATES)[number];

/** Whose fault: the recipient's address, the content, our account, the provider; throttled: rate limit; timeout: ambiguous; expired: too late. */
export const FAILURE_CLASSS = ['unknown', 'recipient', 'content', 'account', 'provider', 'throttled', 'timeout', 'expired'] as const;
export type FailureClass = (typeof FAILURE_CLASSS)[number];

/** Priority lane: p0 most urgent .. p3 bulk. It is the topic's, never the record's. */
export const LANES = ['p0', 'p1', 'p2', 'p3'] as const;
export type Lane = (typeof LANES)[number];

/** A request that was seen for the first time. */
export interface MessageDeduped {
  /** The request as written; its bytes come first so that they are never encoded again. */
  readonly request: MessageRequest;
  /** 0, plus one for each deliberate redelivery by an operator. */
  readonly generation: number;
  /** The producer's Kafka key, or messageId where it was null. From here on no key is null. */
  readonly key: string;
  /** When it passed: milliseconds since the epoch, UTC. */
  readonly dedupedAt: EpochMs;
}

/** Why, closed list. */
export const REFUSAL_REASONS = ['duplicate', 'idempotency_conflict', 'invalid', 'too_large', 'unknown_tenant', 'tenant_mismatch', 'unknown_template', 'no_address', 'no_channel', 'lane_not_allowed', 'expired', 'budget_cash', 'budget_pv', 'quota', 'account_closed', 'currency', 'policy', 'suppressed', 'frequency_cap', 'breaker', 'cancelled', 'internal'] as const;
export type RefusalReason = (typeof REFUSAL_REASONS)[number];

/** A request that will not be delivered, and why. Carries no recipient and no params. */
export interface MessageRefused {
  /** The request's. */
  readonly messageId: MessageId | null;
  /** The request's generation. */
  readonly generation: number;
  /** The request's. */
  readonly tenantId: TenantId | null;
  /** The request's. */
  readonly businessLine: string | null;
  /** The lane it came in by. */
  readonly lane: Lane;
  /** The request's. */
  readonly idempotencyKey: string | null;
  /** The record that is refused. */
  readonly source: Source;
  /** Why. */
  readonly reason: RefusalReason;
  /** The field at fault, as a path, e.g. recipient.userId. */
  readonly field: string | null;
  /** In words, without personal data. */
  readonly detail: string;
  /** True: the same request may be sent again and may then pass; its key is free. */
  readonly retryable: boolean;
  /** duplicate, idempotency_conflict: the first one's messageId. */
  readonly firstMessageId: MessageId | null;
  /** duplicate, idempotency_conflict: the first one's coordinates. */
  readonly firstSource: Source | null;
  /** As in feedback. */
  readonly recipientHash: string | null;
  /** void where money had been reserved, else none. */
  readonly settlement: Settlement;
  /** The request's createdAt. */
  readonly createdAt: EpochMs | null;
  /** Milliseconds since the epoch, UTC. */
  readonly refusedAt: EpochMs;
  /** The request's labels. */
  readonly labels: Readonly<Record<string, string>>;
}

/** A request to deliver one message to one recipient. Written by producers to ingest.p0 .. ingest.p3; the lane is the topic. */
export interface MessageRequest {
  /** UUID in its canonical text form, chosen by the producer; time-ordered ones (v7) recommended. Unique per tenant. */
  readonly messageId: MessageId;
  /** The tenant that pays. Must be configured. */
  readonly tenantId: TenantId;
  /** The tenant's budget account, e.g. promotions. Account = tenant x business line. */
  readonly businessLine: string;
  /** Business class: marketing, transactional, service, or a tenant's own; configuration binds it to policy. */
  readonly attribute: string;
  /** The same key of the same tenant within 24 h is a duplicate. Absent: messageId is the key. */
  readonly idempotencyKey: string | null;
  /** The campaign the message belongs to; copied to feedback. */
  readonly campaignId: string | null;
  /** Whom the message is for. */
  readonly recipient: Recipient;
  /** A configured template. */
  readonly templateId: string;
  /** Values for the template's placeholders; at most 64 KiB together. */
  readonly params: Readonly<Record<string, string>>;
  /** Allowed channels in order of preference. Empty: policy decides. */
  readonly channels: readonly string[];
  /** Cap on PV units (messages shown or SMS segments), 1..1000. Absent: computed from the template and channel. */
  readonly units: number | null;
  /** Cap on cost in micros (1e-6) of the currency, 0 .. 1,000 units of it. Absent: computed from prices. */
  readonly maxCostMicros: Micros | null;
  /** ISO 4217 code. Absent: the account's. Another than the account's is refused. */
  readonly currency: string | null;
  /** BCP 47 tag for the template's language. */
  readonly locale: string | null;
  /** IANA zone of the recipient, for quiet hours. */
  readonly timeZone: string | null;
  /** When the producer made the request: milliseconds since the epoch, UTC. At most 1 h ahead of our clock. */
  readonly createdAt: EpochMs;
  /** Not to be sent before: milliseconds since the epoch, UTC. At most 30 d ahead. */
  readonly notBefore: EpochMs | null;
  /** Not to be sent after: milliseconds since the epoch, UTC. Absent: max(createdAt, notBefore) + 72 h. */
  readonly expiresAt: EpochMs | null;
  /** Echoed in feedback and refused. At most 16, each at most 256 bytes; no personal data. */
  readonly labels: Readonly<Record<string, string>>;
}

/** A message with its channel and provider for one attempt. */
export interface MessageRouted {
  /** The message with its reservation. */
  readonly reserved: BudgetReserved;
  /** The channel of this attempt, e.g. sms. */
  readonly channel: string;
  /** The provider of this attempt, e.g. aliyun-sms. */
  readonly provider: string;
  /** What acceptance costs on this route, in micros (1e-6) of the currency; at most the reserved cash. */
  readonly priceMicros: Micros;
  /** What acceptance costs in PV units on this route; at most the reserved units. */
  readonly units: number;
  /** 1 for the first call of a provider, plus one for each later one. */
  readonly attempt: number;
  /** Which call of this route's provider for this message, from 1; a fail-over begins again at 1. */
  readonly routeAttempt: number;
  /** True: an earlier attempt of this route may have been delivered (ambiguous time-out, tried again under the same key). No fail-over, and no end as failed for want of tries. */
  readonly ambiguous: boolean;
  /** How often a full bulkhead or a lowered rate put it back without an attempt. */
  readonly diversions: number;
  /** Routes not tried yet, in order, each channel/provider. */
  readonly alternatives: readonly string[];
  /** No claim after this: milliseconds since the epoch, UTC. */
  readonly expiresAt: EpochMs;
  /** In retry topics: not before this, milliseconds since the epoch, UTC. */
  readonly dueAt: EpochMs | null;
  /** When this route was chosen, in retry topics when it was put back: milliseconds since the epoch, UTC. */
  readonly routedAt: EpochMs;
}

/** Why a message waits. */
export const PARKED_WHYS = ['other', 'not_before', 'breaker', 'policy', 'hold'] as const;
export type ParkedWhy = (typeof PARKED_WHYS)[number];

/** A message that waits for a time, a level or a person. */
export interface Parked {
  /** Set when it was parked before any money was reserved. */
  readonly deduped: MessageDeduped | null;
  /** Set when it was parked after route. */
  readonly routed: MessageRouted | null;
  /** Released then: milliseconds since the epoch, UTC. Absent: released by a person. */
  readonly until: EpochMs | null;
  /** Why it waits. */
  readonly why: ParkedWhy;
  /** The rule, level or hold in words. */
  readonly detail: string;
  /** Milliseconds since the epoch, UTC. */
  readonly parkedAt: EpochMs;
}

/** How it was learned: the carrier's report, an answer that came after the partition was lost, our query, a person, or the receipt horizon. */
export const RECEIPT_ORIGINS = ['carrier', 'late_answer', 'query', 'operator', 'expiry'] as const;
export type ReceiptOrigin = (typeof RECEIPT_ORIGINS)[number];

/** What was learned about an attempt after the provider's own answer. */
export interface ProviderReceipt {
  /** Who reports. */
  readonly provider: string;
  /** The provider's channel. */
  readonly channel: string;
  /** How it was learned. */
  readonly origin: ReceiptOrigin;
  /** Which attempt, where the report says so (e.g. Aliyun's out_id). */
  readonly attempt: AttemptReference | null;
  /** The provider's id of the message (e.g. Aliyun's biz_id). */
  readonly providerMessageId: string | null;
  /** What it reports. */
  readonly state: DeliveryState;
  /** Whose fault. */
  readonly class: FailureClass | null;
  /** The provider's own code. */
  readonly providerCode: string | null;
  /** Segments that the carrier counted. */
  readonly units: number | null;
  /** The carrier's own time; never used for windows. Milliseconds since the epoch, UTC. */
  readonly reportedAt: EpochMs;
  /** When it reached us, our clock: milliseconds since the epoch, UTC. */
  readonly receivedAt: EpochMs;
  /** How often it went through retry.receipts. */
  readonly deferrals: number;
  /** In retry.receipts: not before this. */
  readonly dueAt: EpochMs | null;
}

/** Whom a message is for. Personal data: it never leaves the topics up to routed, retry and parked. */
export interface Recipient {
  /** The tenant's own id of the person. Required, not empty. */
  readonly userId: string;
  /** E.164 or the carrier's national form; needed by sms and voice. */
  readonly phone: string | null;
  /** RFC 5321 mailbox; needed by email. */
  readonly email: string | null;
  /** WeChat openid; needed by the wechat channels. */
  readonly openId: string | null;
  /** Device tokens; needed by app_push. Empty: none. */
  readonly pushTokens: readonly string[];
  /** The tenant's class of recipient, e.g. gold. Configuration says which tiers count as high value. */
  readonly tier: string | null;
}

/** none: nothing; post: book the actual cost and return the rest; void: return everything; reverse: pay back what was posted. */
export const SETTLEMENT_KINDS = ['none', 'post', 'void', 'reverse'] as const;
export type SettlementKind = (typeof SETTLEMENT_KINDS)[number];

/** What an event means for the message's reservation. settle only adds these up. */
export interface Settlement {
  /** What to do. */
  readonly kind: SettlementKind;
  /** post: the actual cost; void: what had been reserved; reverse: what is paid back; none: 0. Micros (1e-6) of the currency. */
  readonly cashMicros: Micros;
  /** The same in PV units. */
  readonly units: number;
  /** ISO 4217 code; empty where kind is none and no account is known. */
  readonly currency: string;
  /** The lease the reservation was spent from. */
  readonly leaseId: string | null;
}

/** Coordinates of a Kafka record. */
export interface Source {
  /** Topic, with its prefix. */
  readonly topic: string;
  /** Partition. */
  readonly partition: number;
  /** Offset. */
  readonly offset: number;
}
