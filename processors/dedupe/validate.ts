import type { EpochMs } from '../../schemas/brand.js';
import type { TemplateConfig, TenantConfig } from '../../schemas/config.js';
import type { Lane, MessageRequest } from '../../schemas/generated/records.js';
import type { Refusal } from '../refusal.js';
import { DEDUPE_SPAN_MS } from './span.js';

/** Limits of the public contract ("What bad input gets"). */
export const LIMITS = {
  valueBytes: 256 * 1024,
  paramsBytes: 64 * 1024,
  labels: 16,
  labelBytes: 256,
  units: 1_000,
  /** 1,000 currency units. */
  costMicros: 1_000_000_000n,
  createdAheadMs: 3_600_000,
  notBeforeAheadMs: 30 * 86_400_000,
} as const;

/** All that a request is judged by besides itself. */
export interface Circumstances {
  readonly now: EpochMs;
  readonly lane: Lane;
  /** Bytes of the record's value in Kafka. */
  readonly size: number;
  /** Where the topic is a tenant's own (ingest.<tenant>.pN): that tenant. */
  readonly ownerOfTopic: string | null;
  readonly tenants: ReadonlyMap<string, TenantConfig>;
  readonly templates: ReadonlyMap<string, TemplateConfig>;
}

type Problem = Pick<Refusal, 'reason' | 'detail'> & { readonly field?: string };
type Rule = (request: MessageRequest, circumstances: Circumstances) => Problem | null;

const invalid = (field: string, detail: string): Problem => ({ reason: 'invalid', field, detail });

/** Canonical text form, lower case as RFC 9562 asks of whoever writes one: one id must not have two spellings. */
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

const bytesOfMap = (map: Readonly<Record<string, string>>): number =>
  Object.entries(map).reduce(
    (sum, [key, value]) => sum + Buffer.byteLength(key) + Buffer.byteLength(value),
    0,
  );

const size: Rule = ({ params }, { size: bytes }) => {
  if (bytes > LIMITS.valueBytes)
    return { reason: 'too_large', detail: `the value has ${bytes} bytes, at most 256 KiB pass` };
  // Params are part of the value: small values need not be counted again.
  if (bytes > LIMITS.paramsBytes && bytesOfMap(params) > LIMITS.paramsBytes)
    return { reason: 'too_large', field: 'params', detail: 'params have more than 64 KiB' };
  return null;
};

const identity: Rule = ({ messageId, idempotencyKey }) => {
  if (!UUID.test(messageId))
    return invalid('messageId', 'not a UUID in its canonical text form (lower case)');
  if (idempotencyKey === '')
    return invalid('idempotencyKey', 'empty: leave it absent, and messageId is the key');
  return null;
};

const tenant: Rule = ({ tenantId }, { ownerOfTopic, tenants, lane }) => {
  if (tenantId === '') return invalid('tenantId', 'empty');
  if (ownerOfTopic !== null && ownerOfTopic !== tenantId)
    return {
      reason: 'tenant_mismatch',
      field: 'tenantId',
      detail: `this topic belongs to tenant ${ownerOfTopic}`,
    };
  const known = tenants.get(tenantId);
  if (known === undefined)
    return { reason: 'unknown_tenant', field: 'tenantId', detail: 'no such tenant is configured' };
  if (!known.lanes.includes(lane))
    return {
      reason: 'lane_not_allowed',
      detail: `this tenant may use ${known.lanes.join(', ')}, not ${lane}`,
    };
  return null;
};

const content: Rule = (request, { templates }) => {
  if (request.businessLine === '') return invalid('businessLine', 'empty');
  if (request.recipient.userId === '') return invalid('recipient.userId', 'empty');
  const template = templates.get(request.templateId);
  if (template === undefined || !mayUse(template, request.tenantId))
    return {
      reason: 'unknown_template',
      field: 'templateId',
      detail: 'no such template is configured for this tenant',
    };
  return null;
};

const mayUse = ({ tenants }: TemplateConfig, tenantId: string): boolean =>
  tenants.length === 0 || tenants.includes(tenantId);

const amounts: Rule = ({ units, maxCostMicros }) => {
  if (units !== null && (units < 1 || units > LIMITS.units))
    return invalid('units', `outside 1..${LIMITS.units}`);
  if (maxCostMicros !== null && (maxCostMicros < 0n || maxCostMicros > LIMITS.costMicros))
    return invalid('maxCostMicros', 'outside 0..1,000 currency units (1,000,000,000 micros)');
  return null;
};

const labels: Rule = ({ labels: all }) => {
  const entries = Object.entries(all);
  if (entries.length > LIMITS.labels)
    return invalid('labels', `${entries.length} labels, at most ${LIMITS.labels} pass`);
  const long = entries.some(
    ([key, value]) => Buffer.byteLength(key) + Buffer.byteLength(value) > LIMITS.labelBytes,
  );
  return long ? invalid('labels', `a label has over ${LIMITS.labelBytes} bytes`) : null;
};

const times: Rule = ({ createdAt, notBefore, expiresAt }, { now }) => {
  if (createdAt > now + LIMITS.createdAheadMs)
    return invalid('createdAt', 'more than 1 h ahead of our clock');
  if (expiresAt !== null && expiresAt < createdAt) return invalid('expiresAt', 'before createdAt');
  if (notBefore !== null && notBefore > now + LIMITS.notBeforeAheadMs)
    return invalid('notBefore', 'more than 30 d ahead');
  if (expiresAt !== null && expiresAt <= now)
    return { reason: 'expired', field: 'expiresAt', detail: 'expiresAt has passed' };
  if (createdAt < now - DEDUPE_SPAN_MS)
    return {
      reason: 'expired',
      field: 'createdAt',
      detail: 'made more than 24 h ago: whether it was seen before is no longer known',
    };
  return null;
};

/** In the order of judgement: the first that objects names the reason. */
const RULES: readonly Rule[] = [size, identity, tenant, content, amounts, labels, times];
/** Of a request that comes back: when it was made is known, and is no reason against it. */
const AGAIN: readonly Rule[] = [size, identity, tenant, content, amounts, labels];

const judged =
  (rules: readonly Rule[]): Rule =>
  (request, circumstances) => {
    for (const rule of rules) {
      const problem = rule(request, circumstances);
      if (problem !== null) return problem;
    }
    return null;
  };

/** What is wrong with a request, by the table of the public contract; null: it may pass. */
export const validate: Rule = judged(RULES);

/** The same for a request that an operator puts back: its times are not judged. */
export const validateAgain: Rule = judged(AGAIN);
