const real = {
  setTimeout: globalThis.setTimeout,
  clearTimeout: globalThis.clearTimeout,
  setImmediate: globalThis.setImmediate,
  now: Date.now,
};

interface Timer {
  readonly at: number;
  readonly order: number;
  readonly process: SimulatedProcess;
  readonly run: () => void;
  cancelled: boolean;
}

/** A process of the simulation. Its code runs only in its own timers: killed, they never fire; frozen, they wait. */
export class SimulatedProcess {
  readonly name: string;
  state: 'running' | 'frozen' | 'dead' = 'running';
  /** What came due while it was frozen. */
  readonly missed: Timer[] = [];

  constructor(name: string) {
    this.name = name;
  }
}

/**
 * Time that moves from timer to timer. While installed it answers Date.now, setTimeout and setImmediate, and gives each
 * timer to the process that set it: after a timer fired, everything that follows from it runs before the next one, so
 * that "who is running" is one variable.
 */
export class VirtualTime {
  now: number;
  /** Whose code runs. */
  running: SimulatedProcess;
  /** Where network, brokers and stores live; nothing kills it. */
  readonly outside = new SimulatedProcess('outside');
  steps = 0;
  private readonly heap: Timer[] = [];
  private order = 0;

  constructor(start: number) {
    this.now = start;
    this.running = this.outside;
  }

  after(milliseconds: number, process: SimulatedProcess, run: () => void): Timer {
    const timer: Timer = {
      at: this.now + Math.max(0, milliseconds),
      order: this.order++,
      process,
      run,
      cancelled: false,
    };
    this.push(timer);
    return timer;
  }

  /** For the process that runs now. */
  sleep(milliseconds: number): Promise<void> {
    return new Promise((resolve) => this.after(milliseconds, this.running, resolve));
  }

  kill(process: SimulatedProcess): void {
    process.state = 'dead';
    process.missed.length = 0;
  }

  freeze(process: SimulatedProcess): void {
    if (process.state === 'running') process.state = 'frozen';
  }

  thaw(process: SimulatedProcess): void {
    if (process.state !== 'frozen') return;
    process.state = 'running';
    for (const { run, cancelled } of process.missed.splice(0))
      if (!cancelled) this.after(0, process, run);
  }

  /** Runs timers in order until `done` says so or the time has come; true where it was done. */
  async run(done: () => boolean, until: number): Promise<boolean> {
    while (!done()) {
      const timer = this.heap[0];
      if (timer === undefined || timer.at > until) {
        this.now = Math.max(this.now, until);
        return done();
      }
      this.pop();
      if (timer.cancelled || timer.process.state === 'dead') continue;
      if (timer.process.state === 'frozen') {
        timer.process.missed.push(timer);
        continue;
      }
      this.now = Math.max(this.now, timer.at);
      this.running = timer.process;
      this.steps += 1;
      timer.run();
      // Every promise that this timer settled is followed to its end before another process runs.
      await new Promise((resolve) => real.setImmediate(resolve));
      this.running = this.outside;
    }
    return true;
  }

  /** Puts this clock in place of Node's; the answer puts Node's back. */
  install(): () => void {
    if (globalThis.setTimeout !== real.setTimeout)
      throw new Error('another simulation runs: one at a time, time is global');
    const handle = (timer: Timer) => ({
      timer,
      unref() {
        return this;
      },
      ref() {
        return this;
      },
    });
    globalThis.setTimeout = ((run: () => void, milliseconds = 0) =>
      handle(this.after(milliseconds, this.running, run))) as unknown as typeof setTimeout;
    globalThis.setImmediate = ((run: () => void) =>
      handle(this.after(0, this.running, run))) as unknown as typeof setImmediate;
    globalThis.clearTimeout = ((of?: { timer?: Timer }) => {
      if (of?.timer !== undefined) of.timer.cancelled = true;
    }) as typeof clearTimeout;
    Date.now = () => this.now;
    return () => {
      globalThis.setTimeout = real.setTimeout;
      globalThis.setImmediate = real.setImmediate;
      globalThis.clearTimeout = real.clearTimeout;
      Date.now = real.now;
    };
  }

  private push(timer: Timer): void {
    const { heap } = this;
    let at = heap.push(timer) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || !before(timer, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = timer;
  }

  private pop(): void {
    const { heap } = this;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      const left = heap[child];
      if (left === undefined) break;
      const right = heap[child + 1];
      let least = left;
      if (right !== undefined && before(right, left)) {
        child += 1;
        least = right;
      }
      if (!before(least, last)) break;
      heap[at] = least;
      at = child;
    }
    heap[at] = last;
  }
}

const before = (a: Timer, b: Timer): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);
