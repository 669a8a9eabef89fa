import { Agent, request } from 'undici';
import { z } from 'zod';
import { REVIEW_VERDICTS, type RechargeConfig, decimalOf } from '../../schemas/config.js';
import { asError } from '../../schemas/error.js';
import type { Decision, Recharge } from '../postgres/recharges.js';

/** What a reviewer may answer; more fields are ignored. */
const answerSchema = z.object({
  verdict: z.enum(REVIEW_VERDICTS),
  /** Why; kept in the archive. */
  reason: z.string().optional(),
});

const MAX_ANSWER_BYTES = 64 * 1024;
const MAX_REASON = 1_000;

type HttpReview = NonNullable<RechargeConfig['review']['http']>;

/** Control characters, NUL among them, which Postgres' text cannot hold. */
const plain = (text: string): string =>
  // eslint-disable-next-line no-control-regex
  text.replaceAll(/[\u0000-\u001f\u007f]+/g, ' ').trim();

/**
 * Asks a program over HTTP: POSTs the proposal as JSON, the same one perhaps twice (idempotency-key names it). What is no
 * answer in time (no connection, another status than 200, another shape) is a person's.
 */
export const httpReviewer = ({ url, deadlineMs }: HttpReview, token: string | undefined) => {
  const agent = new Agent({ maxResponseSize: MAX_ANSWER_BYTES });
  const { host } = new URL(url);
  const ask = async (one: Recharge): Promise<z.infer<typeof answerSchema>> => {
    const { statusCode, body } = await request(url, {
      method: 'POST',
      dispatcher: agent,
      signal: AbortSignal.timeout(deadlineMs),
      headers: {
        'content-type': 'application/json',
        'idempotency-key': one.rechargeId,
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
      },
      body: JSON.stringify({
        rechargeId: one.rechargeId,
        tenantId: one.tenantId,
        businessLine: one.businessLine,
        rule: one.rule,
        currency: one.currency,
        cash: decimalOf(one.cashMicros),
        units: Number(one.units),
        proposedAt: one.proposedAt.toISOString(),
        seen: one.seen,
      }),
    });
    const text = await body.text();
    if (statusCode !== 200) throw new Error(`it answered HTTP ${statusCode}`);
    const parsed = answerSchema.safeParse(JSON.parse(text));
    if (!parsed.success) throw new Error('its answer has no verdict approve, reject or escalate');
    return parsed.data;
  };
  return {
    async review(one: Recharge): Promise<Decision> {
      try {
        const { verdict, reason = '' } = await ask(one);
        const why = plain(reason).slice(0, MAX_REASON);
        if (verdict === 'escalate')
          return { state: 'person', because: `reviewer ${host}: ${why || 'it escalates'}` };
        const state = verdict === 'approve' ? 'approved' : 'rejected';
        return { state, by: `reviewer ${host}`, reason: why || 'no reason given' };
      } catch (thrown) {
        const { message } = asError(thrown);
        return { state: 'person', because: `reviewer ${host} did not answer: ${plain(message)}` };
      }
    },
    close: () => agent.destroy(),
  };
};
