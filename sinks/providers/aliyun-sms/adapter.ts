import { randomUUID } from 'node:crypto';
import { Pool } from 'undici';
import { z } from 'zod';
import type { HttpResult } from '../http-call.js';
import { postOnce } from '../http-call.js';
import type {
  Adapter,
  Finding,
  Inquiry,
  Outcome,
  ProviderContext,
  Submission,
} from '../provider.js';
import { retryAfterMs } from '../retry-after.js';
import { requiredSetting, secretOf, urlOf, variableOf } from '../settings.js';
import { ANSWER_CODES } from './codes.js';
import { MAX_PAGES, pageOf, queryParameters, sendDates } from './query.js';
import { aliyunReceipts } from './receipts.js';
import { canonicalQuery, percentEncode, sign } from './sign.js';

const answerSchema = z.object({ Code: z.string().max(128), BizId: z.string().max(64).nullish() });

/**
 * Aliyun SMS, dysmsapi 2017-05-25 SendSms; QuerySendDetails tells what became of a message, by our OutId. Not idempotent: no key is dedupes on ("does not support idempotence").
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
    const post = (body: string, startBy: number, deadline: number): Promise<HttpResult> =>
      postOnce(
        pool,
        {
          origin: url.origin,
          path: url.pathname,
          // In the body, not in the query: proxies log URLs, and this holds a phone number.
          body,
          headers: { 'content-type': 'application/x-www-form-urlencoded' },
          startBy,
          deadline,
        },
        now,
      );
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
        const result = await post(
          signedBody(sending(submission, code, keys.signName), keys, now()),
          submission.startBy,
          submission.deadline,
        );
        return {
          outcomes: [outcomeOf(result, now())],
          calledAt: result.kind === 'never_asked' ? null : result.calledAt,
        };
      },
      query: (inquiry) =>
        found(inquiry, (parameters) =>
          post(signedBody(parameters, keys, now()), inquiry.deadline, inquiry.deadline),
        ),
      close: () => pool.close(),
    };
  },
};

/** Looks through the days on which it may have been submitted, page by page. */
const found = async (
  inquiry: Inquiry,
  ask: (parameters: Readonly<Record<string, string>>) => Promise<HttpResult>,
): Promise<Finding> => {
  const phone = inquiry.routed.reserved.deduped.request.recipient.phone ?? '';
  for (const date of sendDates(inquiry)) {
    for (let page = 1; ; page += 1) {
      if (page > MAX_PAGES) return { kind: 'no_answer', code: 'too_many_messages' };
      const said = pageOf(await ask(queryParameters(phone, date, page)), inquiry.reference, page);
      if (said.kind === 'not_found') break;
      if (said.kind !== 'further') return said;
    }
  }
  return { kind: 'not_found' };
};

const templateCode = ({ template }: Submission, { config }: ProviderContext): string | null =>
  template?.codes[config.name] ?? null;

const sending = (
  { routed, reference }: Submission,
  code: string,
  signName: string,
): Readonly<Record<string, string>> => {
  const { request } = routed.reserved.deduped;
  return {
    Action: 'SendSms',
    PhoneNumbers: request.recipient.phone ?? '',
    SignName: signName,
    TemplateCode: code,
    TemplateParam: JSON.stringify(request.params),
    OutId: reference,
  };
};

const signedBody = (
  own: Readonly<Record<string, string>>,
  keys: { readonly id: string; readonly secret: string },
  now: number,
): string => {
  const parameters: Record<string, string> = {
    ...own,
    Version: '2017-05-25',
    Format: 'JSON',
    RegionId: 'cn-hangzhou',
    AccessKeyId: keys.id,
    SignatureMethod: 'HMAC-SHA1',
    SignatureVersion: '1.0',
    SignatureNonce: randomUUID(),
    // Seconds, UTC: milliseconds are refused.
    Timestamp: `${new Date(now).toISOString().slice(0, 19)}Z`,
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
