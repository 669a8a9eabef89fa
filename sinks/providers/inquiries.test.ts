import { expect, test } from 'vitest';
import { QUERYING_ADAPTERS, providerSchema } from '../../schemas/config.js';
import { aliyunConfig, callOf, ENVIRONMENT } from './fixtures.js';
import { ADAPTERS } from './index.js';
import { ProviderInquiries } from './inquiries.js';

const inquiry = (config = aliyunConfig('http://127.0.0.1:1/x')) => {
  const { routed, reference, idempotencyKey } = callOf(config);
  const now = Date.now();
  return {
    routed,
    reference,
    idempotencyKey,
    provider: config,
    heldAt: now,
    deadline: now + 2_000,
  };
};

test('what the configuration check lets be queried is what the adapters can', () => {
  const config = (adapter: string) =>
    providerSchema.parse({ ...aliyunConfig('http://127.0.0.1:1/x'), adapter });
  const querying = Object.entries(ADAPTERS).flatMap(([name, adapter]) =>
    adapter.open({ config: config(name), environment: ENVIRONMENT, now: Date.now }).query ===
    undefined
      ? []
      : [name],
  );
  expect(querying).toEqual(QUERYING_ADAPTERS);
});

test('each question has one answer, whatever is wrong with its provider', async () => {
  const unusable: string[] = [];
  const inquiries = new ProviderInquiries({
    environment: {},
    unusable: (provider) => unusable.push(provider),
  });
  const away = new ProviderInquiries({ environment: ENVIRONMENT });
  const config = aliyunConfig('http://127.0.0.1:1/x');
  const calls = Array.from({ length: 40 }, () => inquiry(config));
  const codes: (string | null)[] = [];
  for await (const { finding } of inquiries.inquire(calls))
    codes.push(finding.kind === 'no_answer' ? finding.code : finding.kind);
  expect(codes).toEqual(Array.from({ length: 40 }, () => 'cannot_be_asked'));
  expect(unusable).toEqual([config.name]);
  for await (const { finding } of away.inquire([inquiry(config)]))
    expect(finding).toMatchObject({ kind: 'no_answer' });
  await inquiries.close();
  await away.close();
});
