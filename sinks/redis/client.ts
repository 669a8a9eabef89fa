import { Redis } from 'ioredis';

export interface RedisOptions {
  /** redis:// or rediss:// */
  readonly url: string;
  /** Called on each loss of the connection and failed command; must not throw. */
  readonly onTrouble?: (error: Error) => void;
  /** Default 250: a batch does not wait longer. An operator's command may. */
  readonly commandTimeoutMs?: number;
}

/** Redis answers a batch within a few milliseconds; later than that, the lane goes on without it. */
const COMMAND_TIMEOUT_MS = 250;
const CONNECT_TIMEOUT_MS = 1_000;
const MAX_BACKOFF_MS = 2_000;

/**
 * A connection that fails at once while Redis is away: no queue of commands, no waiting in a batch. It reconnects by
 * itself, for ever.
 */
export const connectRedis = ({
  url,
  onTrouble = () => undefined,
  commandTimeoutMs = COMMAND_TIMEOUT_MS,
}: RedisOptions): Redis => {
  const redis = new Redis(url, {
    lazyConnect: true,
    connectTimeout: CONNECT_TIMEOUT_MS,
    commandTimeout: commandTimeoutMs,
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
