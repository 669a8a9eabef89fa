import { asError } from '../../../schemas/error.js';
import type { Plan, Point, PointFaultKind } from './plan.js';
import type { Groups } from './groups.js';
import { LATER } from './transactions.js';
import type { SimulatedProcess, VirtualTime } from './virtual-time.js';

/** Longer than a session: the group has forgotten who was frozen so long. */
export const FROZEN_MS = 9_000;
const LATER_MS = 5;
const SLOW_MS = 1_500;
/** Longer than partitions that are revoked are waited for (rule 7). */
const STALL_MS = 11_000;

/** Small numbers that only the seed decides. Seed 0: all the same. */
export class Latencies {
  private state: number;
  private readonly steady: boolean;

  constructor(seed: number) {
    this.steady = seed === 0;
    this.state = (seed * 2_654_435_761) >>> 0 || 1;
  }

  /** 0 <= x < below */
  pick(below: number): number {
    if (this.steady) return 0;
    this.state ^= this.state << 13;
    this.state ^= this.state >>> 17;
    this.state ^= this.state << 5;
    this.state >>>= 0;
    return this.state % below;
  }

  /** Milliseconds that one way takes: mostly 1 to 4, seldom many. */
  readonly oneWay = (): number => (this.pick(24) === 1 ? 20 + this.pick(180) : 1 + this.pick(4));

  /** A transaction marker's way to its partition. */
  readonly marker = (): number => (this.pick(6) === 1 ? 50 + this.pick(900) : 2 + this.pick(12));
}

/** Which faults a plan has at which points; counts the points that each worker passes. */
export class Faults {
  /** Kinds of faults that struck, with how often. */
  readonly struck = new Map<string, number>();
  private readonly counts = new Map<string, number>();
  private readonly planned = new Map<string, PointFaultKind>();
  /** Cleared when the world is healed. */
  active = true;

  constructor(plan: Plan) {
    for (const fault of plan.faults)
      if ('point' in fault)
        this.planned.set(
          `${fault.worker.toString()} ${fault.point} ${fault.nth.toString()}`,
          fault.what,
        );
  }

  meet(worker: number, point: Point): PointFaultKind | null {
    const name = `${worker.toString()} ${point}`;
    const nth = (this.counts.get(name) ?? 0) + 1;
    this.counts.set(name, nth);
    if (!this.active) return null;
    const fault = this.planned.get(`${name} ${nth.toString()}`) ?? null;
    if (fault !== null) this.count(`${point}: ${fault}`);
    return fault;
  }

  count(kind: string): void {
    this.struck.set(kind, (this.struck.get(kind) ?? 0) + 1);
  }
}

export interface Request<T> {
  readonly point: Point;
  /** What happens outside when the request arrives; LATER: it is asked again until the deadline. */
  readonly effect: () => T | typeof LATER;
  readonly deadlineMs: number;
  readonly timedOut: () => Error;
  readonly refused: () => Error;
}

/** A worker's place: its process, and its way to everything outside. */
export class Host {
  readonly slot: number;
  readonly process: SimulatedProcess;
  readonly time: VirtualTime;
  readonly latencies: Latencies;
  private readonly faults: Faults;
  private readonly groups: Groups;
  private readonly tell: (line: string) => void;

  constructor(
    slot: number,
    process: SimulatedProcess,
    world: {
      readonly time: VirtualTime;
      readonly latencies: Latencies;
      readonly faults: Faults;
      readonly groups: Groups;
      readonly tell: (line: string) => void;
    },
  ) {
    this.slot = slot;
    this.process = process;
    this.time = world.time;
    this.latencies = world.latencies;
    this.faults = world.faults;
    this.groups = world.groups;
    this.tell = world.tell;
  }

  /** A request and its answer, with what the plan has for them. */
  request<T>({ point, effect, deadlineMs, timedOut, refused }: Request<T>): Promise<T> {
    const { time, process, latencies } = this;
    const fault = this.faults.meet(this.slot, point);
    if (fault !== null) this.tell(`${process.name}, ${point}: ${fault}`);
    const end = time.now + deadlineMs;
    return new Promise((resolve, reject) => {
      const giveUp = (): void => {
        time.after(end - time.now, process, () => {
          reject(timedOut());
        });
      };
      const arrive = (): void => {
        let result: T | typeof LATER;
        try {
          result = effect();
        } catch (error) {
          time.after(latencies.oneWay(), process, () => {
            reject(asError(error));
          });
          return;
        }
        if (result === LATER) {
          if (time.now + LATER_MS >= end) giveUp();
          else time.after(LATER_MS, time.outside, arrive);
          return;
        }
        const answer = result;
        if (fault === 'answer lost') {
          giveUp();
          return;
        }
        if (fault === 'dies after') this.die();
        if (fault === 'freezes after') this.freeze();
        const delay = fault === 'slow' ? SLOW_MS : fault === 'stalls' ? STALL_MS : 0;
        if (time.now + delay >= end) giveUp();
        else
          time.after(latencies.oneWay() + delay, process, () => {
            resolve(answer);
          });
      };
      switch (fault) {
        case 'dies before':
          this.die();
          return;
        case 'request lost':
          giveUp();
          return;
        case 'request lost, freezes':
          this.freeze();
          giveUp();
          return;
        case 'request late':
          giveUp();
          time.after(deadlineMs + 2 + latencies.pick(400), time.outside, () => {
            try {
              effect();
            } catch {
              // Nobody waits for this answer any more.
            }
          });
          return;
        case 'refused':
          time.after(latencies.oneWay(), process, () => {
            reject(refused());
          });
          return;
        case 'freezes before':
          this.freeze();
          time.after(0, process, () => time.after(latencies.oneWay(), time.outside, arrive));
          return;
        case 'dies after':
        case 'freezes after':
        case 'answer lost':
        case 'slow':
        case 'stalls':
        case null:
          time.after(latencies.oneWay(), time.outside, arrive);
      }
    });
  }

  die(): void {
    this.time.kill(this.process);
    this.groups.silent(this.process);
  }

  freeze(): void {
    this.time.freeze(this.process);
    this.groups.silent(this.process);
    this.time.after(FROZEN_MS, this.time.outside, () => {
      this.time.thaw(this.process);
    });
  }
}
