import type { Adapter, Outcome, Submission } from './provider.js';

const ACCEPTED: Outcome = { kind: 'accepted', providerMessageId: null, providerCode: 'OK' };
const FAILED: Outcome = { kind: 'failed.recipient', providerCode: 'simulated' };
const BROKEN: Outcome = { kind: 'failed.provider', providerCode: 'simulated' };

/**
 * Accepts without asking anyone; for demonstrations and benchmarks. settings.failPercent (default 0) of the messages
 * fail, the same ones in each run, for good or, with settings.broken, as a provider's own failure that is tried
 * again; settings.latencyMs (default 0) is waited once a batch.
 */
export const inProcess: Adapter = {
  secrets: () => [],
  open: ({ config, now }) => {
    const failPercent = Number(config.settings['failPercent'] ?? 0);
    const latencyMs = Number(config.settings['latencyMs'] ?? 0);
    const failed = config.settings['broken'] === true ? BROKEN : FAILED;
    const outcomeOf = ({ routed }: Submission): Outcome =>
      failPercent > 0 && fails(routed.reserved.deduped.request.messageId, failPercent)
        ? failed
        : ACCEPTED;
    return {
      // One promise for a thousand messages: a benchmark measures the pipeline, not this.
      maxBatch: 1000,
      submit: async (batch) => {
        const calledAt = now();
        const outcomes = batch.map(outcomeOf);
        if (latencyMs > 0)
          await new Promise((resolve) => {
            setTimeout(resolve, latencyMs);
          });
        return { outcomes, calledAt };
      },
      close: () => Promise.resolve(),
    };
  },
};

/** By FNV-1a over the message's id, spread over 1 % / 100 steps. */
const fails = (messageId: string, failPercent: number): boolean => {
  let hash = 0x811c9dc5;
  for (let index = 0; index < messageId.length; index += 1)
    hash = Math.imul(hash ^ messageId.charCodeAt(index), 0x01000193);
  // FNV's low bits alone are uneven for ids that differ in one digit.
  hash ^= hash >>> 15;
  return (hash >>> 0) % 10_000 < failPercent * 100;
};
