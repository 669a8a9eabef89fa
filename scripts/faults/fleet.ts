import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { asError } from '../../schemas/error.js';
import { partitionId } from '../../topologies/runtime/raw-record.js';
import type { Variables } from '../installation/installation.js';
import { type Ending, WorkerProcess, isReady } from '../installation/worker-process.js';
import { freePort } from '../installation/free-port.js';
import { type Build, thisBuild } from './builds.js';
import { FAULT_LANES } from './installation.js';

const READY_MS = 90_000;
/** A new worker meets its predecessor's lock on the slot until Postgres has noticed its death. */
const START_TRIES = 5;
const BETWEEN_TRIES_MS = 500;
const GUEST_SLOT = 99;

interface Place {
  readonly slot: number;
  readonly callbackPort: number;
  readonly worker: WorkerProcess;
  still: boolean;
}

/** The workers of a run, each in a slot of its own, as a supervisor keeps them. */
export class Fleet {
  private readonly places = new Map<number, Place>();
  private readonly variables: Variables;
  private readonly folder: string;
  private starts = 0;
  /** What workers are started from, from now on; those that run stay what they are. */
  build: Build = thisBuild();
  /** Endings that nobody here asked for, with their last words. */
  readonly surprises: string[] = [];

  /** @param folder where workers' output is kept */
  constructor(variables: Variables, folder: string) {
    this.variables = variables;
    this.folder = folder;
  }

  get slots(): readonly number[] {
    return [...this.places.keys()];
  }

  get workers(): readonly WorkerProcess[] {
    return [...this.places.values()].map(({ worker }) => worker);
  }

  /** Callback ports of the workers that are up. */
  callbackPorts(): readonly number[] {
    return [...this.places.values()]
      .filter(({ worker, still }) => worker.alive && !still)
      .map(({ callbackPort }) => callbackPort);
  }

  /** Partitions of ingest topics that it has now, as `<topic>/<partition>`; none where it has ended by itself. */
  async share(slot: number): Promise<readonly string[]> {
    const worker = this.places.get(slot)?.worker;
    if (worker?.alive !== true) return [];
    return (await worker.owned('intake.')).map(partitionId);
  }

  /** Which release the slot's worker says that it is; null: none runs there. */
  async release(slot: number): Promise<string | null> {
    const worker = this.places.get(slot)?.worker;
    if (worker?.alive !== true) return null;
    const [labels = ''] = (await worker.metric('millrace_release_info')).keys();
    return /^release="([^"]*)"$/.exec(labels)?.[1] ?? null;
  }

  /** Starts a worker in the slot and waits until it is ready. */
  async start(slot: number): Promise<WorkerProcess> {
    for (let attempt = 1; ; attempt++) {
      const worker = await this.launch(slot);
      try {
        await worker.until(isReady, READY_MS);
        return worker;
      } catch (error) {
        this.keepLog(slot, worker);
        if (!worker.alive) this.surprised(slot, worker, await worker.ended);
        if (worker.alive || attempt === START_TRIES) throw error;
        await new Promise((resolve) => setTimeout(resolve, BETWEEN_TRIES_MS));
      }
    }
  }

  /** SIGKILL; the slot stays empty. */
  async kill(slot: number): Promise<void> {
    const place = this.places.get(slot);
    if (place === undefined) return;
    this.places.delete(slot);
    await place.worker.kill();
    this.keepLog(slot, place.worker);
  }

  /** SIGTERM; the slot stays empty. @returns whether it ended by itself and well */
  async stop(slot: number): Promise<boolean> {
    const place = this.places.get(slot);
    if (place === undefined) return true;
    this.places.delete(slot);
    if (place.still) place.worker.wakeUp();
    const { code, signal } = await place.worker.stop();
    this.keepLog(slot, place.worker);
    // By SIGTERM where a native call never answered (scripts/commands/run.ts).
    return code === 0 || signal === 'SIGTERM';
  }

  standStill(slot: number): void {
    const place = this.places.get(slot);
    if (place === undefined) return;
    place.still = true;
    place.worker.standStill();
  }

  wakeUp(slot: number): void {
    const place = this.places.get(slot);
    if (place === undefined) return;
    place.worker.wakeUp();
    place.still = false;
  }

  /**
   * Lets the slot's worker kill itself at a point, if it gets there in time, and starts another in its place.
   * @param at as CRASH_AT takes it
   * @returns whether it got there
   */
  async crash(slot: number, at: string, deadlineMs: number): Promise<boolean> {
    const place = this.places.get(slot);
    if (place === undefined) return false;
    const order = this.crashFile(slot);
    writeFileSync(order, at);
    const late = new AbortController();
    const ending = await Promise.race([
      place.worker.ended,
      sleep(deadlineMs, null, { signal: late.signal }),
    ]);
    late.abort();
    rmSync(order);
    if (ending === null) return false;
    this.places.delete(slot);
    this.keepLog(slot, place.worker);
    if (ending.signal === null) this.surprised(slot, place.worker, ending);
    await this.start(slot);
    return ending.signal === 'SIGKILL';
  }

  /** A worker of the highest slot comes, is ready, and goes again: whoever starts now needs all that a start needs. */
  async guest(meanwhile: () => Promise<unknown>): Promise<void> {
    const worker = await this.launch(GUEST_SLOT);
    this.places.delete(GUEST_SLOT);
    try {
      await Promise.all([worker.until(isReady, READY_MS), meanwhile()]);
    } finally {
      await worker.stop();
      this.keepLog(GUEST_SLOT, worker);
    }
  }

  /** Exactly these slots run afterwards; what ended by itself is noted and started again. */
  async heal(slots: readonly number[]): Promise<void> {
    for (const [slot, { worker }] of this.places) {
      if (worker.alive) continue;
      this.places.delete(slot);
      this.keepLog(slot, worker);
      this.surprised(slot, worker, await worker.ended);
    }
    for (const slot of this.slots) {
      this.wakeUp(slot);
      if (!slots.includes(slot)) await this.stop(slot);
    }
    await Promise.all(
      slots.filter((slot) => !this.places.has(slot)).map((slot) => this.start(slot)),
    );
  }

  /** What each worker says of itself (lag by partition, transactions), beside its log: for what stands still. */
  async keepMetrics(): Promise<void> {
    for (const [slot, { worker }] of this.places) {
      const text = await worker.metrics().catch((thrown: unknown) => asError(thrown).message);
      writeFileSync(path.join(this.folder, `worker-${slot}-metrics.txt`), text);
    }
  }

  /** Ends all as a deployment would. @returns slots of those that did not end well by themselves */
  async stopAll(): Promise<readonly number[]> {
    const slots = this.slots;
    const well = await Promise.all(slots.map((slot) => this.stop(slot)));
    return slots.filter((_, index) => well[index] === false);
  }

  /** Ends what is left, at once. */
  async close(): Promise<void> {
    await Promise.all(this.slots.map((slot) => this.kill(slot)));
  }

  private async launch(slot: number): Promise<WorkerProcess> {
    const callbackPort = await freePort();
    const worker = await WorkerProcess.launch(
      {
        ...this.variables,
        CALLBACK_PORT: String(callbackPort),
        CRASH_AT: `@${this.crashFile(slot)}`,
      },
      ['--slot', String(slot), '--lanes', FAULT_LANES.join(',')],
      'normal',
      this.build.millrace,
    );
    this.places.set(slot, { slot, callbackPort, worker, still: false });
    return worker;
  }

  private crashFile(slot: number): string {
    return path.join(this.folder, `crash-${slot}`);
  }

  private surprised(slot: number, worker: WorkerProcess, { code, signal }: Ending): void {
    const words = worker.log.trimEnd().split('\n').slice(-2).join(' ').slice(-400);
    this.surprises.push(
      `the worker of slot ${slot} ended by itself (${signal ?? `code ${String(code)}`}): ${words}`,
    );
  }

  private keepLog(slot: number, worker: WorkerProcess): void {
    this.starts += 1;
    writeFileSync(path.join(this.folder, `worker-${slot}-${this.starts}.log`), worker.log);
  }
}
