import type { EpochMs } from '../../schemas/brand.js';
import type { ProviderConfig } from '../../schemas/config.js';
import type { Lane } from '../../schemas/generated/records.js';
import type { Answer, Call, GateOptions } from './gate.js';
import { Gate } from './gate.js';
import { ADAPTERS } from './index.js';
import type { Outcome } from './provider.js';

export interface ProvidersOptions {
  /** Where secrets are, by the names that the providers' settings give. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly now?: () => EpochMs;
  /** Aborted: nothing more begins, see stop. */
  readonly signal?: AbortSignal;
  /** A provider that can't be opened (a secret is missing): its calls are put back, nothing is lost. */
  readonly unusable?: (provider: string, error: unknown) => void;
  /** For metrics: each answer, and the time of its call. */
  readonly answered?: (provider: string, outcome: Outcome['kind'], latencyMs: number) => void;
}

interface Request {
  readonly channel: string;
  readonly provider: ProviderConfig;
  readonly lane: Lane;
  readonly rateFactor: number;
}

const NO_WAIT = { waitMs: 0 };

/**
 * All providers of a process behind their bulkheads; shared by its tasks, so that lanes of one provider share one
 * bulkhead and one pace. Fits the send stage's port `Providers`.
 */
export class ProviderGates {
  readonly #options: GateOptions;
  readonly #gates = new Map<string, Map<string, Gate<Call>>>();
  #stopped = false;

  constructor(options: ProvidersOptions) {
    const { environment, unusable, answered } = options;
    const now = options.now ?? Date.now;
    this.#options = {
      now,
      open: (config) => ADAPTERS[config.adapter].open({ config, environment, now }),
      unusable: (config, error) => unusable?.(config.name, error),
      answered: (config, kind, latencyMs) => answered?.(config.name, kind, latencyMs),
    };
    if (options.signal?.aborted === true) this.stop();
    options.signal?.addEventListener('abort', () => {
      this.stop();
    });
  }

  /** How long each would wait at its provider, counting the earlier ones of the batch. */
  admit(requests: readonly (Request | null)[]): readonly { readonly waitMs: number }[] {
    const ahead = new Map<Gate<Call>, number>();
    return requests.map((request) => {
      if (request === null) return NO_WAIT;
      const gate = this.#gate(request.channel, request.provider.name);
      const before = ahead.get(gate) ?? 0;
      ahead.set(gate, before + 1);
      return { waitMs: gate.waitMs(request.provider, request.lane, request.rateFactor, before) };
    });
  }

  /** One answer a call, as they come. Providers' failures are answers; it does not throw. */
  async *perform<C extends Call>(calls: readonly C[]): AsyncGenerator<Answer<C>, void, undefined> {
    let ready: Answer<C>[] = [];
    let wake: (() => void) | null = null;
    const deliver = (answer: Answer<Call>): void => {
      // A gate gives back the very call that it was given.
      ready.push(answer as Answer<C>);
      wake?.();
    };
    const gates = new Set<Gate<Call>>();
    for (const call of calls) {
      const gate = this.#gate(call.routed.channel, call.provider.name);
      gate.add(call, deliver);
      gates.add(gate);
    }
    for (const gate of gates) gate.pump();
    for (let left = calls.length; left > 0;) {
      if (ready.length === 0)
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      wake = null;
      const answers = ready;
      ready = [];
      left -= answers.length;
      yield* answers;
    }
  }

  /** Nothing begins any more: what waits is answered not_called, what is under way ends by its deadline. */
  stop(): void {
    this.#stopped = true;
    for (const gate of this.#all()) gate.stop();
  }

  /** stop, then waits for the calls under way and closes connections. */
  async close(): Promise<void> {
    this.stop();
    await Promise.all(this.#all().map((gate) => gate.close()));
  }

  /** Calls waiting and under way, by channel/provider: for metrics. */
  load(): readonly {
    readonly provider: string;
    readonly queued: number;
    readonly running: number;
  }[] {
    return [...this.#gates].flatMap(([channel, gates]) =>
      [...gates].map(([provider, gate]) => ({ provider: `${channel}/${provider}`, ...gate.load })),
    );
  }

  #all(): readonly Gate<Call>[] {
    return [...this.#gates.values()].flatMap((gates) => [...gates.values()]);
  }

  #gate(channel: string, provider: string): Gate<Call> {
    const gates = this.#gates.get(channel) ?? new Map<string, Gate<Call>>();
    const known = gates.get(provider);
    if (known !== undefined) return known;
    const gate = new Gate<Call>(this.#options);
    if (this.#stopped) gate.stop();
    this.#gates.set(channel, gates.set(provider, gate));
    return gate;
  }
}
