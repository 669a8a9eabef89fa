import type { Behaviour, Change } from './behaviour.js';
import { changed } from './behaviour.js';
import { SentMessages } from './sent.js';

/** One simulated endpoint: its present behaviour, and what it remembers of those who asked. */
export class Endpoint {
  readonly name: string;
  /** What it accepted, for queries. */
  readonly sent = new SentMessages();
  readonly #defaults: Behaviour;
  #behaviour: Behaviour;
  #timers: NodeJS.Timeout[] = [];
  /** By reference: how often it was asked, and whether it was accepted. */
  readonly #asked = new Map<string, { times: number; accepted: boolean }>();
  #second = 0;
  #inSecond = 0;

  constructor(name: string, defaults: Behaviour) {
    this.name = name;
    this.#defaults = defaults;
    this.#behaviour = defaults;
  }

  get behaviour(): Behaviour {
    return this.#behaviour;
  }

  reset(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers = [];
    this.#behaviour = this.#defaults;
  }

  change(change: Change): void {
    this.#behaviour = changed(this.#behaviour, change);
  }

  changeAfter(afterMs: number, change: Change): void {
    // Refused now rather than when it is due.
    changed(this.#behaviour, change);
    const timer = setTimeout(() => {
      this.change(change);
    }, afterMs);
    timer.unref();
    this.#timers.push(timer);
  }

  ask(reference: string): { readonly nth: number; readonly repeated: boolean } {
    const known = this.#asked.get(reference) ?? { times: 0, accepted: false };
    known.times += 1;
    this.#asked.set(reference, known);
    return { nth: known.times, repeated: known.accepted };
  }

  accept(reference: string): void {
    const known = this.#asked.get(reference);
    if (known !== undefined) known.accepted = true;
  }

  /** True: this second is full. */
  throttled(now: number): boolean {
    const most = this.#behaviour.throttlePerSecond;
    if (most === 0) return false;
    const second = Math.floor(now / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#inSecond = 0;
    }
    this.#inSecond += 1;
    return this.#inSecond > most;
  }
}
