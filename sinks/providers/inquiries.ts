import type { EpochMs } from '../../schemas/brand.js';
import type { ProviderConfig } from '../../schemas/config.js';
import { ADAPTERS } from './index.js';
import type { Finding, Inquiry, Provider } from './provider.js';

/** As processors/unknown/contract.ts has it. */
interface Call extends Inquiry {
  readonly provider: ProviderConfig;
}

interface Answer<C extends Call> {
  readonly call: C;
  readonly finding: Finding;
  readonly answeredAt: EpochMs;
}

export interface InquiriesOptions {
  /** Where secrets are, by the names that the providers' settings give. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly now?: () => EpochMs;
  /** A provider that can't be opened (a secret is missing): its attempts wait for their receipts or horizon. */
  readonly unusable?: (provider: string, error: unknown) => void;
}

/** Questions under way at once, over all providers. */
const CONCURRENCY = 16;

/** Asks providers what became of attempts. Fits the unknown stage's port `Inquiries`. */
export class ProviderInquiries {
  readonly #options: InquiriesOptions;
  readonly #now: () => EpochMs;
  /** By configuration: a changed one is opened anew. null: it can't be opened. */
  readonly #open = new Map<ProviderConfig, Provider | null>();

  constructor(options: InquiriesOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** One answer a call, as they come; it does not throw. */
  async *inquire<C extends Call>(calls: readonly C[]): AsyncGenerator<Answer<C>, void, undefined> {
    const waiting = [...calls];
    const running = new Set<Promise<Answer<C>>>();
    const begin = (): void => {
      const call = waiting.shift();
      if (call !== undefined) running.add(this.#ask(call));
    };
    for (let slot = 0; slot < CONCURRENCY; slot += 1) begin();
    while (running.size > 0) {
      const [done, answer] = await Promise.race(
        [...running].map(async (one) => [one, await one] as const),
      );
      running.delete(done);
      begin();
      yield answer;
    }
  }

  async close(): Promise<void> {
    for (const provider of this.#open.values()) await provider?.close();
  }

  async #ask<C extends Call>(call: C): Promise<Answer<C>> {
    const provider = this.#provider(call.provider);
    const finding = await this.#finding(provider, call);
    return { call, finding, answeredAt: this.#now() };
  }

  async #finding(provider: Provider | null, call: Call): Promise<Finding> {
    if (provider?.query === undefined) return { kind: 'no_answer', code: 'cannot_be_asked' };
    try {
      return await provider.query(call);
    } catch {
      return { kind: 'no_answer', code: 'defect' };
    }
  }

  #provider(config: ProviderConfig): Provider | null {
    const known = this.#open.get(config);
    if (known !== undefined) return known;
    for (const [other, provider] of this.#open)
      if (other.name === config.name) {
        this.#open.delete(other);
        void provider?.close();
      }
    let opened: Provider | null = null;
    try {
      const { environment } = this.#options;
      opened = ADAPTERS[config.adapter].open({ config, environment, now: this.#now });
    } catch (error) {
      this.#options.unusable?.(config.name, error);
    }
    this.#open.set(config, opened);
    return opened;
  }
}
