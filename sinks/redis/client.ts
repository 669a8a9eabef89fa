import { Redis } from 'ioredis';

export interface RedisOptions {
  /** redis:// or rediss:// */
  readonly url: string;
  /** Called on each loss of the connection and failed command; must not throw. */
  readonly onTrouble?: (error: Error) => void;
}

/**
 * Redis answers a batch within a few milliseconds. A loaded machine makes it, or our own thread, stand still for
 * hundreds: with a bound of 250 ms a pause of ours alone let whole batches pass undeduped, as a timer that ran out
 * comes before an answer that has arrived.
 */
export const PATIENCE_MS = 2_000;
/** How long a hung server is given to close its side. */
const DISCONNECT_TIMEOUT_MS = 250;
const CONNECT_TIMEOUT_MS = 1_000;
const MAX_BACKOFF_MS = 2_000;

/**
 * A connection that fails at once while Redis is away: no queue of commands, no waiting in a batch. It reconnects by
 * itself, for ever.
 */
export const connectRedis = ({ url, onTrouble = () => undefined }: RedisOptions): Redis => {
  const redis = new Redis(url, {
    lazyConnect: true,
    connectTimeout: CONNECT_TIMEOUT_MS,
    commandTimeout: PATIENCE_MS,
    // A hung server does not close its side.
    disconnectTimeout: DISCONNECT_TIMEOUT_MS,
    enableOfflineQueue: false,
    // Commands that were under way when the connection broke fail; sent again late they would answer nobody.
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    retryStrategy: (attempts) => Math.min(50 * 2 ** Math.min(attempts, 10), MAX_BACKOFF_MS),
  });
  redis.on('error', onTrouble);
  return redis;
};
