import { v5 } from 'uuid';
import { expect, test } from 'vitest';
import { messageId, tenantId } from '../schemas/brand.js';
import { feedbackId } from './feedback-id.js';

test.each(['acme', 'müller', '租户'])(
  'a feedback id is the UUID v5 of its attempt and state (%s)',
  (tenant) => {
    const attempt = {
      tenantId: tenantId(tenant),
      messageId: messageId('0190a7b0-0000-7000-8000-000000000001'),
      generation: 0,
      attempt: 2,
    };
    expect(feedbackId(attempt, 'accepted')).toBe(
      v5(`${tenant}|${attempt.messageId}|0|2|accepted`, 'b8c3f0a2-6d1e-4f0b-9a57-2f6a1c0d7e94'),
    );
  },
);
