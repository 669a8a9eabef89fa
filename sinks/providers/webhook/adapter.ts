import { Webhook } from 'standardwebhooks';
import { Agent } from 'undici';
import type { HttpResult } from '../http-call.js';
import { postOnce } from '../http-call.js';
import type { Adapter, Outcome, ProviderContext, Submission } from '../provider.js';
import { retryAfterMs } from '../retry-after.js';
import { variableOf } from '../settings.js';
import { STATUS_KINDS } from './codes.js';

/**
 * Posts to the tenant's own URL (tenants.yaml: webhookUrl, webhookSecretEnv), signed as Standard Webhooks says. The
 * webhook-id is the idempotency key: the same for every try, so that receivers dedupe on it as the specification asks.
 */
export const webhook: Adapter = {
  secrets: (config) => [variableOf(config, 'secretEnv')].filter((name) => name !== ''),
  open: (context) => {
    const { config, now } = context;
    const agent = new Agent({
      connections: config.concurrency,
      pipelining: 1,
      connect: { timeout: Math.min(config.timeoutMs, 5_000) },
    });
    const signers = new Map<string, Webhook>();
    return {
      maxBatch: 1,
      submit: async ([submission]) => {
        if (submission === undefined) return { outcomes: [], calledAt: null };
        const signer = signerOf(submission, context, signers);
        const url = submission.tenant?.webhookUrl;
        if (signer === null || url === undefined)
          return {
            outcomes: [{ kind: 'failed.account', providerCode: 'no_webhook_configured' }],
            calledAt: now(),
          };
        const { origin, pathname, search } = new URL(url);
        const body = payload(submission, now());
        const at = new Date(now());
        const result = await postOnce(
          agent,
          {
            origin,
            path: `${pathname}${search}`,
            body,
            headers: {
              'content-type': 'application/json',
              'webhook-id': submission.idempotencyKey,
              'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
              'webhook-signature': signer.sign(submission.idempotencyKey, at, body),
            },
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
      close: () => agent.close(),
    };
  },
};

/** By variable and value, so that a rotated secret is seen. null: none is configured, or it is not base64. */
const signerOf = (
  { tenant }: Submission,
  { config, environment }: ProviderContext,
  signers: Map<string, Webhook>,
): Webhook | null => {
  const variable = tenant?.webhookSecretEnv ?? variableOf(config, 'secretEnv');
  const secret = environment[variable];
  if (secret === undefined || secret === '') return null;
  const known = signers.get(secret);
  if (known !== undefined) return known;
  try {
    const signer = new Webhook(secret);
    signers.set(secret, signer);
    return signer;
  } catch {
    // Not the library's error: it may quote the secret.
    return null;
  }
};

/** type, timestamp, data: the specification's suggested body. */
const payload = ({ routed, template }: Submission, now: number): string => {
  const { request, generation } = routed.reserved.deduped;
  return JSON.stringify({
    type: 'message',
    timestamp: new Date(now).toISOString(),
    data: {
      messageId: request.messageId,
      generation,
      templateId: request.templateId,
      text: template === null ? '' : filled(template.text, request.params),
      params: request.params,
      recipient: request.recipient,
      labels: request.labels,
    },
  });
};

/** {name} by the parameter's value; a placeholder without one stays. */
const filled = (text: string, params: Readonly<Record<string, string>>): string =>
  text.replace(/\{([^{}]{1,64})\}/g, (placeholder, name: string) => params[name] ?? placeholder);

export const outcomeOf = (result: HttpResult, now: number): Outcome => {
  switch (result.kind) {
    case 'never_asked':
      return result.late
        ? { kind: 'not_called' }
        : { kind: 'failed.provider', providerCode: result.code };
    case 'ambiguous':
      // The status is the whole answer; a body that broke off changes nothing.
      return result.status === null
        ? { kind: 'timeout', providerCode: result.code }
        : byStatus(result.status, null);
    case 'answered':
      return byStatus(result.status, retryAfterMs(result.headers['retry-after'], now));
  }
};

const byStatus = (status: number, afterMs: number | null): Outcome => {
  const providerCode = `HTTP ${String(status)}`;
  // 503 with a time is a throttle too.
  if (status === 503 && afterMs !== null)
    return { kind: 'throttled', providerCode, retryAfterMs: afterMs };
  const kind = STATUS_KINDS.find(({ from, to }) => status >= from && status <= to)?.kind;
  switch (kind) {
    case undefined:
      return { kind: 'unknown', providerCode };
    case 'accepted':
      return { kind, providerCode, providerMessageId: null };
    case 'throttled':
      return { kind, providerCode, retryAfterMs: afterMs };
    case 'failed.recipient':
    case 'failed.content':
    case 'failed.account':
    case 'failed.provider':
      return { kind, providerCode };
  }
};
