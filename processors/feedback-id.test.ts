import { expect, test } from 'vitest';
import { messageId, tenantId } from '../schemas/brand.js';
import { feedbackId } from './feedback-id.js';

const attempt = {
  tenantId: tenantId('acme'),
  messageId: messageId('0198f3c2-7b1e-7c55-9a1b-3d2f4e5a6b7c'),
  generation: 0,
  attempt: 1,
};

test('an event written again has the same id, for ever', () => {
  expect(feedbackId(attempt, 'accepted')).toBe('64abae32-c259-5dca-8501-36935d4e869b');
});

test.each([
  { ...attempt, tenantId: tenantId('other') },
  { ...attempt, generation: 1 },
  { ...attempt, attempt: 2 },
])('another attempt has another id: %o', (other) => {
  expect(feedbackId(other, 'accepted')).not.toBe(feedbackId(attempt, 'accepted'));
});

test('each state of an attempt is an event of its own', () => {
  expect(feedbackId(attempt, 'delivered')).not.toBe(feedbackId(attempt, 'accepted'));
});
