import { chain } from './chain.js';
import { latency } from './latency.js';

const MESSAGES = 100_000;
const RATE = 1_000;
const SECONDS = 30;

/**
 * Load of both kinds, not measured: a broker that was just started compiles what it runs for its first two or three
 * minutes, and is several times slower until then. The worker is new in each measurement, and warms up within it.
 */
export const warmUp = async (say: (line: string) => void): Promise<void> => {
  say('warming up broker and stores (about two minutes; --no-warm-up leaves it out)');
  await chain(MESSAGES, 2, () => undefined);
  await latency(RATE, SECONDS);
};
