import { Redis } from 'ioredis';
import { type PipelineError, asError } from '../../schemas/error.js';
import { redisError } from './redis-error.js';
import type { RedisOptions as IoRedisOptions } from 'ioredis';

export interface RedisOptions {
  /** redis:// or rediss:// (TLS), credentials in it. */
  readonly url: string;
  /** PEM of the authority to trust instead of the system's; of a client certificate and its key. */
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** Called on each loss of the connection and failed command; must not throw. */
  readonly onTrouble?: (error: Error) => void;
}

/** Redis answers a batch within a few milliseconds; later than that, the lane goes on without it. */
const COMMAND_TIMEOUT_MS = 250;
const CONNECT_TIMEOUT_MS = 1_000;
const MAX_BACKOFF_MS = 2_000;

/** For ioredis: what rediss:// means, and whom to trust; nothing where the address is redis://. */
export const redisTls = ({ url, ca, cert, key }: RedisOptions): Pick<IoRedisOptions, 'tls'> =>
  url.startsWith('rediss:')
    ? {
        tls: {
          ...(ca !== undefined && { ca }),
          ...(cert !== undefined && { cert }),
          ...(key !== undefined && { key }),
        },
      }
    : {};

/**
 * Connects for the first time, to learn before any work whether Redis refuses us (a wrong password, a certificate that
 * nobody trusts): a person must act. Where it is only away, we go on without.
 * @throws PipelineError redis_refused
 */
export const refuseRefusal = async (redis: Redis): Promise<void> => {
  const errors: PipelineError[] = [];
  const listen = (cause: Error): void => {
    errors.push(redisError(cause));
  };
  redis.on('error', listen);
  try {
    await redis.connect();
    await redis.ping();
  } catch (cause) {
    listen(asError(cause));
  } finally {
    redis.off('error', listen);
  }
  const refusal = errors.find(({ verdict }) => verdict === 'stop');
  if (refusal !== undefined) throw refusal;
};

/**
 * A connection that fails at once while Redis is away: no queue of commands, no waiting in a batch. It reconnects by
 * itself, for ever.
 */
export const connectRedis = (options: RedisOptions): Redis => {
  const { url, onTrouble = () => undefined } = options;
  const redis = new Redis(url, {
    ...redisTls(options),
    lazyConnect: true,
    connectTimeout: CONNECT_TIMEOUT_MS,
    commandTimeout: COMMAND_TIMEOUT_MS,
    // A hung server does not close its side.
    disconnectTimeout: COMMAND_TIMEOUT_MS,
    enableOfflineQueue: false,
    // Commands that were under way when the connection broke fail; sent again late they would answer nobody.
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    retryStrategy: (attempts) => Math.min(50 * 2 ** Math.min(attempts, 10), MAX_BACKOFF_MS),
  });
  redis.on('error', onTrouble);
  return redis;
};
