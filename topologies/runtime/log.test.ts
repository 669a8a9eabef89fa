import { Writable } from 'node:stream';
import { expect, test } from 'vitest';
import { PipelineError } from '../../schemas/error.js';
import { CANARIES } from '../testing/fixtures.js';
import { createLog, masked } from './log.js';

test.each([
  ['carrier said: 13912345678 is barred', 'carrier said: ***78 is barred'],
  ['+86 139 1234 5678 is barred', '***78 is barred'],
  ['550 no such user <jane.doe+x@mail.example.com>', '550 no such user <***om>'],
  ['ingest.p0/3 offset 123456 after 5000 ms', 'ingest.p0/3 offset 123456 after 5000 ms'],
  ['connect to 127.0.0.1:29092', 'connect to 127.0.0.1:29092'],
])('%s', (text, expected) => {
  expect(masked(text)).toBe(expected);
});

test('no canary and no secret reaches the log, in whatever object it arrives', () => {
  const lines: string[] = [];
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      lines.push(chunk.toString());
      done();
    },
  });
  const log = createLog('trace', { worker: 'test' }, sink);
  const { phone, email, code, openId, pushToken } = CANARIES;
  const recipient = { userId: CANARIES.userId, phone, email, openId, pushTokens: [pushToken] };
  const password = 'hunter2-secret';
  log.info({ recipient, params: { code } }, 'a request');
  log.warn({ request: { recipient, params: { code } } }, 'nested');
  log.warn({ at: { record: { recipient, params: { code } } } }, 'nested deeper');
  log.error({ password, settings: { token: password, secret: password } }, 'settings');
  const cause = new Error(`550 ${email}: ${phone}`);
  log.error(
    { err: new PipelineError('provider_unavailable', `to ${phone} (${email})`, cause) },
    'provider',
  );
  expect(lines).toHaveLength(5);
  const all = lines.join('');
  for (const canary of [...Object.values(CANARIES), password]) expect(all).not.toContain(canary);
  expect(JSON.parse(lines[4] ?? '')).toMatchObject({
    worker: 'test',
    err: { code: 'provider_unavailable' },
  });
});
