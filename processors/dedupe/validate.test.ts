import fc from 'fast-check';
import { expect, test } from 'vitest';
import { messageId, tenantId } from '../../schemas/brand.js';
import type { MessageRequest } from '../../schemas/generated/records.js';
import { templatesOf, tenantsOf } from '../configuration.js';
import { DAY, HOUR, NOW, configTable, request } from '../testing/intake-fixtures.js';
import { validate } from './validate.js';
import type { Circumstances } from './validate.js';

const config = configTable();
const around: Circumstances = {
  now: NOW,
  lane: 'p1',
  size: 400,
  ownerOfTopic: null,
  tenants: tenantsOf(config),
  templates: templatesOf(config),
};

const judge = (change: Partial<MessageRequest>, circumstances: Partial<Circumstances> = {}) => {
  const problem = validate(request(change), { ...around, ...circumstances });
  return problem === null ? 'passes' : [problem.reason, problem.field].filter(Boolean).join(' ');
};

const { recipient } = request();
const labels = (n: number, bytes: number) =>
  Object.fromEntries(
    Array.from({ length: n }, (_, i) => [
      `k${String(i).padStart(2, '0')}`,
      'é'.repeat((bytes - 3) / 2),
    ]),
  );

test.each<[string, Partial<MessageRequest>, Partial<Circumstances>, string]>([
  ['a good request', {}, {}, 'passes'],
  ['a value of 256 KiB', {}, { size: 262_144 }, 'passes'],
  ['a byte more', {}, { size: 262_145 }, 'too_large'],
  ['params of 64 KiB', { params: { a: 'x'.repeat(65_535) } }, { size: 66_000 }, 'passes'],
  ['a byte more', { params: { a: 'x'.repeat(65_536) } }, { size: 66_000 }, 'too_large params'],
  ['an id that is no UUID', { messageId: messageId('42') }, {}, 'invalid messageId'],
  ['an empty id', { messageId: messageId('') }, {}, 'invalid messageId'],
  [
    'a UUID in braces',
    { messageId: messageId(`{${request().messageId}}`) },
    {},
    'invalid messageId',
  ],
  [
    'one id in two spellings',
    { messageId: messageId(request().messageId.toUpperCase()) },
    {},
    'invalid messageId',
  ],
  ['an empty idempotency key', { idempotencyKey: '' }, {}, 'invalid idempotencyKey'],
  ['no tenant', { tenantId: tenantId('') }, {}, 'invalid tenantId'],
  ['an unknown tenant', { tenantId: tenantId('nobody') }, {}, 'unknown_tenant tenantId'],
  [
    'a tenant on its own topic',
    { tenantId: tenantId('globex') },
    { ownerOfTopic: 'globex' },
    'passes',
  ],
  ["a tenant on another one's topic", {}, { ownerOfTopic: 'globex' }, 'tenant_mismatch tenantId'],
  [
    'an unknown tenant there',
    { tenantId: tenantId('nobody') },
    { ownerOfTopic: 'globex' },
    'tenant_mismatch tenantId',
  ],
  [
    "a lane that is not the tenant's",
    { tenantId: tenantId('globex') },
    { lane: 'p2' },
    'lane_not_allowed',
  ],
  ['no business line', { businessLine: '' }, {}, 'invalid businessLine'],
  ['no user', { recipient: { ...recipient, userId: '' } }, {}, 'invalid recipient.userId'],
  ['an unknown template', { templateId: 'nothing' }, {}, 'unknown_template templateId'],
  ["another tenant's template", { templateId: 'secret' }, {}, 'unknown_template templateId'],
  ["the tenant's template", { templateId: 'secret', tenantId: tenantId('globex') }, {}, 'passes'],
  ['0 units', { units: 0 }, {}, 'invalid units'],
  ['1 unit', { units: 1 }, {}, 'passes'],
  ['1,000 units', { units: 1_000 }, {}, 'passes'],
  ['1,001 units', { units: 1_001 }, {}, 'invalid units'],
  ['no cost', { maxCostMicros: 0n }, {}, 'passes'],
  ['a negative cost', { maxCostMicros: -1n }, {}, 'invalid maxCostMicros'],
  ['1,000 currency units', { maxCostMicros: 1_000_000_000n }, {}, 'passes'],
  ['a micro more', { maxCostMicros: 1_000_000_001n }, {}, 'invalid maxCostMicros'],
  ['16 labels of 256 bytes', { labels: labels(16, 257) }, {}, 'invalid labels'],
  ['16 labels of 255 bytes', { labels: labels(16, 255) }, {}, 'passes'],
  ['17 labels', { labels: labels(17, 5) }, {}, 'invalid labels'],
  ['createdAt 1 h ahead', { createdAt: NOW + HOUR }, {}, 'passes'],
  ['a ms more', { createdAt: NOW + HOUR + 1 }, {}, 'invalid createdAt'],
  ['createdAt 24 h ago', { createdAt: NOW - DAY }, {}, 'passes'],
  ['a ms more', { createdAt: NOW - DAY - 1 }, {}, 'expired createdAt'],
  ['expiresAt before createdAt', { expiresAt: NOW - 1_001 }, {}, 'invalid expiresAt'],
  ['expiresAt passed', { expiresAt: NOW }, {}, 'expired expiresAt'],
  ['expiresAt to come', { expiresAt: NOW + 1 }, {}, 'passes'],
  ['notBefore 30 d ahead', { notBefore: NOW + 30 * DAY }, {}, 'passes'],
  ['a ms more', { notBefore: NOW + 30 * DAY + 1 }, {}, 'invalid notBefore'],
])('%s (%#)', (_, change, circumstances, expected) => {
  expect(judge(change, circumstances)).toBe(expected);
});

test('a problem never quotes the recipient or params, whatever they are', () => {
  fc.assert(
    fc.property(
      fc.string({ minLength: 12 }),
      fc.constantFrom<Partial<MessageRequest>>(
        { units: 0 },
        { templateId: 'nothing' },
        { labels: labels(17, 5) },
        { createdAt: 0 },
      ),
      (canary, change) => {
        const problem = validate(
          request({
            ...change,
            recipient: { ...recipient, userId: canary, phone: canary },
            params: { [canary]: canary },
          }),
          around,
        );
        expect(problem).not.toBeNull();
        expect(JSON.stringify(problem)).not.toContain(canary);
      },
    ),
  );
});
