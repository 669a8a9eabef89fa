import { randomUUID } from 'node:crypto';
import { Pool } from 'undici';
import { z } from 'zod';
import type { HttpResult } from '../http-call.js';
import { postOnce } from '../http-call.js';
import type { Adapter, Outcome, ProviderContext, Submission } from '../provider.js';
import { retryAfterMs } from '../retry-after.js';
import { requiredSetting, secretOf, urlOf, variableOf } from '../settings.js';
import { ANSWER_CODES } from './codes.js';
import { aliyunReceipts } from './receipts.js';
import { canonicalQuery, percentEncode, sign } from './sign.js';

const answerSchema = z.object({ Code: z.string().max(128), BizId: z.string().max(64).nullish() });

/**
 * Aliyun SMS, dysmsapi 2017-05-25 SendSms. Not idempotent: no key is dedupes on ("does not support idempotence").
 * Settings: accessKeyIdEnv, accessKeySecretEnv (names of environment variables), signName; template codes come from
 * each template's `codes.<provider name>`.
 */
export const aliyunSms: Adapter = {
  secrets: (config) => [
    variableOf(config, 'accessKeyIdEnv'),
    variableOf(config, 'accessKeySecretEnv'),
  ],
  receipts: aliyunReceipts,
  open: (context) => {
    const { config, now } = context;
    const url = urlOf(config);
    const keys = {
      id: secretOf(context, 'accessKeyIdEnv'),
      secret: secretOf(context, 'accessKeySecretEnv'),
      signName: requiredSetting(config, 'signName'),
    };
    const pool = new Pool(url.origin, {
      connections: config.concurrency,
      pipelining: 1,
      connect: { timeout: Math.min(config.timeoutMs, 5_000) },
    });
    return {
      // One number a call: OutId is one per call, and it is what brings receipts home.
      maxBatch: 1,
      submit: async ([submission]) => {
        if (submission === undefined) return { outcomes: [], calledAt: null };
        const code = templateCode(submission, context);
        if (code === null)
          return {
            outcomes: [{ kind: 'failed.content', providerCode: 'no_template_code' }],
            calledAt: now(),
          };
        const result = await postOnce(
          pool,
          {
            origin: url.origin,
            path: url.pathname,
            // In the body, not in the query: proxies log URLs, and this holds a phone number.
            body: signedBody(submission, code, keys, now()),
            headers: { 'content-type': 'application/x-www-form-urlencoded' },
            startBy: submission.startBy,
            deadline: submission.deadline,
          },
          now,
        );
        return {
          outcomes: [outcomeOf(result, now())],
          calledAt: result.kind === 'never_asked' ? null : result.calledAt,
        };
      },
      close: () => pool.close(),
    };
  },
};

const templateCode = ({ template }: Submission, { config }: ProviderContext): string | null =>
  template?.codes[config.name] ?? null;

const signedBody = (
  { routed, reference }: Submission,
  code: string,
  keys: { readonly id: string; readonly secret: string; readonly signName: string },
  now: number,
): string => {
  const { request } = routed.reserved.deduped;
  const parameters: Record<string, string> = {
    Action: 'SendSms',
    Version: '2017-05-25',
    Format: 'JSON',
    RegionId: 'cn-hangzhou',
    AccessKeyId: keys.id,
    SignatureMethod: 'HMAC-SHA1',
    SignatureVersion: '1.0',
    SignatureNonce: randomUUID(),
    // Seconds, UTC: milliseconds are refused.
    Timestamp: `${new Date(now).toISOString().slice(0, 19)}Z`,
    PhoneNumbers: request.recipient.phone ?? '',
    SignName: keys.signName,
    TemplateCode: code,
    TemplateParam: JSON.stringify(request.params),
    OutId: reference,
  };
  return `${canonicalQuery(parameters)}&Signature=${percentEncode(sign('POST', parameters, keys.secret))}`;
};

/** A connection's failure or an answer, as an outcome. */
export const outcomeOf = (result: HttpResult, now: number): Outcome => {
  switch (result.kind) {
    case 'never_asked':
      return result.late
        ? { kind: 'not_called' }
        : { kind: 'failed.provider', providerCode: result.code };
    case 'ambiguous':
      return { kind: 'timeout', providerCode: result.code };
    case 'answered':
      return answered(result, now);
  }
};

const answered = (
  { status, body, headers }: Extract<HttpResult, { kind: 'answered' }>,
  now: number,
): Outcome => {
  const answer = answerSchema.safeParse(jsonOf(body));
  if (!answer.success) {
    // Not Aliyun's words, but something's before it. A refusal by status was not carried out.
    if (status === 429) return throttled(headers, 'HTTP 429', now);
    if (status === 503) return { kind: 'failed.provider', providerCode: 'HTTP 503' };
    return { kind: 'unknown', providerCode: `HTTP ${String(status)}` };
  }
  const { Code: code, BizId: bizId } = answer.data;
  if (code === 'OK')
    return { kind: 'accepted', providerMessageId: bizId ?? null, providerCode: code };
  const kind = ANSWER_CODES[code] ?? unlisted(code, status);
  return kind === 'throttled' ? throttled(headers, code, now) : { kind, providerCode: code };
};

/** isv. is the caller's fault by Aliyun's naming, Throttling.* its gateway's; of the rest only a 4xx is a refusal. */
const unlisted = (code: string, status: number): 'failed.content' | 'throttled' | 'unknown' => {
  if (code.startsWith('Throttling.')) return 'throttled';
  return code.startsWith('isv.') || (status >= 400 && status < 500) ? 'failed.content' : 'unknown';
};

const throttled = (
  headers: Readonly<Record<string, string | string[] | undefined>>,
  providerCode: string,
  now: number,
): Outcome => ({
  kind: 'throttled',
  providerCode,
  retryAfterMs: retryAfterMs(headers['retry-after'], now),
});

const jsonOf = (body: Buffer): unknown => {
  try {
    return JSON.parse(body.toString('utf8')) as unknown;
  } catch {
    return undefined;
  }
};
