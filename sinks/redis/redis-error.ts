import { ReplyError } from 'ioredis';
import { PipelineError, asError } from '../../schemas/error.js';
import { tlsRefusal } from '../../schemas/tls-refusal.js';

/** Replies that pass with time: loading, fail-over, a busy script, memory that keys leave again as they expire. */
const PASSING = /^(LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|BUSY|OOM|UNBLOCKED)\b/;

/** Anything that ioredis throws, with a verdict. Redis' error codes are the first word of its replies. */
export const redisError = (thrown: unknown): PipelineError => {
  const { message } = asError(thrown);
  const tls = tlsRefusal(thrown);
  if (tls !== null)
    return new PipelineError(
      'redis_refused',
      `Redis: ${tls}. Check REDIS_URL and REDIS_CA_LOCATION`,
      thrown,
    );
  // A reply is Redis' own word; all else is a connection that is not there.
  return thrown instanceof ReplyError && !PASSING.test(message)
    ? new PipelineError(
        'redis_refused',
        `Redis refuses: ${message}. Check REDIS_URL, REDIS_USERNAME, REDIS_PASSWORD and its rights`,
        thrown,
      )
    : new PipelineError('redis_unavailable', `Redis is away: ${message}`, thrown);
};
