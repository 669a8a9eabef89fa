import type { EpochMs } from '../../schemas/brand.js';
import type { ProviderConfig } from '../../schemas/config.js';
import { LANES } from '../../schemas/generated/records.js';
import type { Lane } from '../../schemas/generated/records.js';
import { type CallTimes, callTimes } from './call-times.js';
import { Pace } from './pace.js';
import type { Outcome, Provider, Submission } from './provider.js';

/** A claimed call, as it comes from the send stage. */
export interface Call extends Omit<Submission, keyof CallTimes> {
  readonly lane: Lane;
  readonly provider: ProviderConfig;
  readonly rateFactor: number;
  /** Its claim's: whatever its provider's time-out, nothing happens after it. */
  readonly deadline: EpochMs;
}

export interface Answer<C extends Call> {
  readonly call: C;
  readonly outcome: Outcome;
  readonly calledAt: EpochMs;
  readonly answeredAt: EpochMs;
}

export interface GateOptions {
  readonly now: () => EpochMs;
  /** @throws PipelineError config_invalid */
  readonly open: (config: ProviderConfig) => Provider;
  /** The provider can't be opened, so nothing of it can be called; it is tried again with each new configuration. */
  readonly unusable: (config: ProviderConfig, error: unknown) => void;
  readonly answered: (config: ProviderConfig, outcome: Outcome['kind'], latencyMs: number) => void;
}

interface Waiting<C extends Call> {
  readonly call: C;
  readonly times: CallTimes;
  readonly deliver: (answer: Answer<C>) => void;
}

/**
 * Share of the bulkhead that a lane may fill. The rest is kept for more urgent ones: a bulk lane whose calls all hang
 * until their time-out would otherwise hold every slot when an urgent message comes.
 */
const LANE_SHARE: Readonly<Record<Lane, number>> = { p0: 1, p1: 0.9, p2: 0.75, p3: 0.5 };

const NOT_CALLED: Outcome = { kind: 'not_called' };

/** One provider's bulkhead and pace, with a queue a lane, the urgent first. */
export class Gate<C extends Call> {
  readonly #options: GateOptions;
  readonly #queues: Readonly<Record<Lane, Waiting<C>[]>> = { p0: [], p1: [], p2: [], p3: [] };
  readonly #pace = new Pace();
  /** When each call under way began; insertion order, so the first is the oldest. */
  readonly #running = new Set<{ readonly at: EpochMs }>();
  #config: ProviderConfig | null = null;
  #provider: Provider | null = null;
  /** Moving average of a call's time: how soon a slot comes free. */
  #serviceMs = 0;
  #timer: NodeJS.Timeout | null = null;
  #stopped = false;

  constructor(options: GateOptions) {
    this.#options = options;
  }

  /** Calls that wait here and are under way. */
  get load(): { readonly queued: number; readonly running: number } {
    return {
      queued: LANES.reduce((sum, lane) => sum + this.#queues[lane].length, 0),
      running: this.#running.size,
    };
  }

  /** How long a call would wait that comes after `ahead` others, in milliseconds. */
  waitMs(config: ProviderConfig, lane: Lane, rateFactor: number, ahead: number): number {
    const now = this.#options.now();
    let before = ahead;
    for (const other of LANES) {
      before += this.#queues[other].length;
      if (other === lane) break;
    }
    const paceMs = this.#pace.waitMs(now, config.ratePerSecond * rateFactor, before);
    const batch = this.#provider?.maxBatch ?? 1;
    const slots = slotsOf(config, lane);
    const free = Math.max(0, slots - this.#running.size) * batch;
    if (before < free) return paceMs;
    // A hanging provider has no finished calls to average: its oldest one tells.
    const [oldest] = this.#running;
    const serviceMs = Math.max(this.#serviceMs, oldest === undefined ? 0 : now - oldest.at);
    return Math.max(paceMs, Math.ceil((before + 1 - free) / (slots * batch)) * serviceMs);
  }

  add(call: C, deliver: (answer: Answer<C>) => void): void {
    this.#configure(call.provider);
    this.#pace.set(call.provider.ratePerSecond * call.rateFactor);
    const times = callTimes(this.#options.now(), call.provider.timeoutMs, call.deadline);
    this.#queues[call.lane].push({ call, times, deliver });
  }

  /** Begins what may begin now, and arms a timer for the rest. */
  pump(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const now = this.#options.now();
    this.#dropLate(now);
    const provider = this.#provider;
    if (provider === null) return;
    for (;;) {
      const lane = LANES.find((one) => this.#mayBegin(one));
      if (lane === undefined) break;
      const most = Math.min(provider.maxBatch, this.#pace.allowed(now));
      if (most === 0) break;
      const batch = this.#queues[lane].splice(0, most);
      this.#pace.take(now, batch.length);
      void this.#call(provider, batch);
    }
    this.#arm(now);
  }

  /** From now on nothing begins: what waits is answered not_called. */
  stop(): void {
    this.#stopped = true;
    this.pump();
  }

  /** After stop, once the calls under way have ended. */
  async close(): Promise<void> {
    await this.#provider?.close();
  }

  #configure(config: ProviderConfig): void {
    if (config === this.#config) return;
    this.#config = config;
    // Ends by itself once its calls have.
    void this.#provider?.close();
    try {
      this.#provider = this.#options.open(config);
    } catch (error) {
      this.#provider = null;
      this.#options.unusable(config, error);
    }
  }

  #mayBegin(lane: Lane): boolean {
    if (this.#queues[lane].length === 0 || this.#config === null) return false;
    return this.#running.size < slotsOf(this.#config, lane);
  }

  /** Whatever can't begin any more is answered at once: its message is put back and may go elsewhere. */
  #dropLate(now: EpochMs): void {
    const all = this.#stopped || this.#provider === null;
    for (const lane of LANES) {
      const queue = this.#queues[lane];
      if (queue.length === 0) continue;
      const late = all ? queue.length : queue.findIndex(({ times }) => times.startBy >= now);
      for (const { call, deliver } of queue.splice(0, late < 0 ? queue.length : late))
        deliver({ call, outcome: NOT_CALLED, calledAt: now, answeredAt: now });
    }
  }

  async #call(provider: Provider, batch: readonly Waiting<C>[]): Promise<void> {
    const began = { at: this.#options.now() };
    this.#running.add(began);
    const calls = batch.map(({ call, times }) => ({ ...call, ...times }));
    const { outcomes, calledAt } = await provider.submit(calls).catch(() => {
      // A defect of the adapter. Whether it called, nobody knows.
      return {
        outcomes: calls.map((): Outcome => ({ kind: 'unknown', providerCode: 'defect' })),
        calledAt: began.at,
      };
    });
    this.#running.delete(began);
    const answeredAt = this.#options.now();
    const serviceMs = answeredAt - began.at;
    this.#serviceMs += (serviceMs - this.#serviceMs) * 0.2;
    batch.forEach(({ call, deliver }, index) => {
      const outcome = outcomes[index] ?? { kind: 'unknown', providerCode: 'defect' };
      this.#options.answered(call.provider, outcome.kind, serviceMs);
      deliver({ call, outcome, calledAt: calledAt ?? answeredAt, answeredAt });
    });
    if (this.load.queued > 0) this.pump();
  }

  /** Wakes when the pace allows the next one, or the first in a queue is too late. */
  #arm(now: EpochMs): void {
    let at = Number.POSITIVE_INFINITY;
    for (const lane of LANES) {
      const first = this.#queues[lane][0];
      if (first === undefined) continue;
      at = Math.min(at, first.times.startBy + 1);
      if (this.#mayBegin(lane)) at = Math.min(at, now + this.#pace.nextMs(now));
    }
    if (at === Number.POSITIVE_INFINITY) return;
    this.#timer = setTimeout(
      () => {
        this.pump();
      },
      Math.max(1, Math.ceil(at - now)),
    );
  }
}

const slotsOf = (config: ProviderConfig, lane: Lane): number =>
  Math.max(1, Math.floor(config.concurrency * LANE_SHARE[lane]));
