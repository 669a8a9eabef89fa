import { setTimeout as pause } from 'node:timers/promises';
import { asError } from '../../schemas/error.js';
import type { Health } from './health.js';
import { type ClientSettings, ConsumerClient, settled } from './rdkafka-client.js';

const ASK_MS = 5_000;
const PAUSE_MS = 2_000;

/**
 * Tells readiness whether Kafka answers. The tasks' own clients do not: librdkafka dials again in silence, and a
 * consumer that gets no records looks like one that has none to get.
 */
export const watchKafka = (
  ask: () => Promise<unknown>,
  health: Pick<Health, 'waiting' | 'recovered'>,
  pauseMs = PAUSE_MS,
): { readonly close: () => Promise<void> } => {
  const stop = new AbortController();
  let away = false;
  const look = async (): Promise<void> => {
    try {
      await ask();
      if (away) health.recovered('kafka');
      away = false;
    } catch (error) {
      away = true;
      health.waiting('kafka', `Kafka does not answer: ${asError(error).message}`);
    }
  };
  const watching = (async () => {
    while (!stop.signal.aborted) {
      await look();
      // Rejected by the abort only, which ends the loop.
      await pause(pauseMs, undefined, { signal: stop.signal }).catch(() => undefined);
    }
  })();
  return {
    close: async () => {
      stop.abort();
      await watching;
    },
  };
};

/** A question that any broker answers, on a client of its own that joins no group. */
export const kafkaQuestion = (client: ClientSettings, topic: string) => {
  let consumer: ConsumerClient | null = null;
  const connected = async (): Promise<ConsumerClient> => {
    if (consumer !== null) return consumer;
    const one = new ConsumerClient({ ...client, 'group.id': 'millrace.metadata' });
    try {
      await one.connect(ASK_MS);
    } catch (error) {
      await one.disconnect(ASK_MS);
      throw error;
    }
    consumer = one;
    return one;
  };
  return {
    ask: async (): Promise<void> => {
      const { native } = await connected();
      await settled('metadata', ASK_MS + 1_000, (done) => {
        native.getMetadata({ topic, timeout: ASK_MS }, done);
      });
    },
    close: async () => {
      await consumer?.disconnect(ASK_MS);
    },
  };
};
