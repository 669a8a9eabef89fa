import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { TopicPartition } from '../../topologies/runtime/raw-record.js';
import { freePort } from './free-port.js';
import { MILLRACE, type Variables } from './installation.js';

const READY_DEADLINE_MS = 60_000;
const STOP_DEADLINE_MS = 30_000;
const POLL_MS = 50;
/** Of its output, what is kept at least; the beginning goes first. */
const LOG_CHARACTERS = 64_000_000;
/** Linux counts process times in ticks of this many a second (sysconf(_SC_CLK_TCK)). */
const TICKS_PER_SECOND = 100;

/** GET /readyz. */
export interface Readiness {
  readonly status: 'ready' | 'degraded' | 'waiting' | 'starting';
  readonly missing: Readonly<
    Record<string, { readonly state: 'waiting' | 'degraded'; readonly detail: string }>
  >;
}

/** It takes records, perhaps with less than it should have. */
export const isReady = (readiness: Readiness | null): boolean =>
  readiness?.status === 'ready' || readiness?.status === 'degraded';

/** The operating system's: low yields the processors to whoever else wants them (`nice -n 10`). */
export type Priority = 'normal' | 'low';

/** How it ended. */
export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** As scripts/millrace.cjs starts itself where it is run by name. */
export const YOUNG_GENERATION = '--max-semi-space-size=128';

/** For profiles: BENCH_NODE_ARGS="--cpu-prof --cpu-prof-dir=DIR" reaches the workers only. */
const nodeArguments = (variables: Variables): string[] => [
  YOUNG_GENERATION,
  ...(variables['BENCH_NODE_ARGS'] ?? '').split(' ').filter((argument) => argument !== ''),
];

/** `millrace run` as a process of its own. */
export class WorkerProcess {
  /** Where it answers: /healthz, /readyz, /metrics. */
  readonly url: string;
  readonly ended: Promise<Ending>;
  private readonly child: ChildProcess;
  private said = '';

  private constructor(child: ChildProcess, port: number) {
    this.child = child;
    this.url = `http://127.0.0.1:${port.toString()}`;
    this.ended = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        resolve({ code, signal });
      });
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.said = (this.said + chunk.toString()).slice(-LOG_CHARACTERS);
      });
    }
  }

  /**
   * Started, and not waited for: it may have to wait for a dependency itself.
   * @param millrace the command's file, of this build unless another's is given
   */
  static async launch(
    variables: Variables,
    options: readonly string[],
    priority: Priority = 'normal',
    millrace: string = MILLRACE,
  ): Promise<WorkerProcess> {
    const port = await freePort();
    const command = [process.execPath, ...nodeArguments(variables), millrace, 'run', ...options];
    const [program = '', ...rest] = priority === 'low' ? ['nice', '-n', '10', ...command] : command;
    const child = spawn(program, rest, {
      env: { ...variables, HEALTH_PORT: port.toString() },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    return new WorkerProcess(child, port);
  }

  /** Started and ready. */
  static async start(
    variables: Variables,
    options: readonly string[],
    priority: Priority = 'normal',
    millrace: string = MILLRACE,
  ): Promise<WorkerProcess> {
    const worker = await WorkerProcess.launch(variables, options, priority, millrace);
    try {
      await worker.until(isReady);
    } catch (error) {
      // Nobody else knows it: left alone it would work on for ever.
      await worker.kill();
      throw error;
    }
    return worker;
  }

  /** Everything it has written to its standard output and error. */
  get log(): string {
    return this.said;
  }

  /** User and system time so far, in seconds. */
  cpuSeconds(): number {
    const fields = readFileSync(`/proc/${String(this.child.pid)}/stat`, 'utf8')
      .split(') ')[1]
      ?.split(' ');
    return (Number(fields?.[11] ?? 0) + Number(fields?.[12] ?? 0)) / TICKS_PER_SECOND;
  }

  /** /metrics as it is. */
  async metrics(): Promise<string> {
    return (await fetch(`${this.url}/metrics`)).text();
  }

  /** One metric's samples by their labels' text. */
  async metric(name: string): Promise<Map<string, number>> {
    const samples = (await this.metrics()).split('\n').flatMap((line) => {
      const found = new RegExp(`^${name}(?:\\{(.*)\\})? (.*)$`).exec(line);
      return found === null ? [] : [[found[1] ?? '', Number(found[2])] as const];
    });
    return new Map(samples);
  }

  /** Partitions that tasks whose names begin so have now. */
  async owned(task: string): Promise<readonly TopicPartition[]> {
    const lags = await this.metric('millrace_lag_records');
    return [...lags.keys()].flatMap((labels) => {
      const [, name = '', topic = '', partition = ''] =
        /^task="([^"]*)",topic="([^"]*)",partition="([^"]*)"$/.exec(labels) ?? [];
      return name.startsWith(task) ? [{ topic, partition: Number(partition) }] : [];
    });
  }

  /** null where it does not answer (yet). */
  async readiness(): Promise<Readiness | null> {
    const response = await fetch(`${this.url}/readyz`).catch(() => null);
    return response === null ? null : ((await response.json()) as Readiness);
  }

  /**
   * Waits until its readiness is as wanted.
   * @throws where it ends, or the deadline passes, with what it said last
   */
  async until(
    wanted: (readiness: Readiness | null) => boolean,
    deadlineMs: number = READY_DEADLINE_MS,
  ): Promise<void> {
    const end = Date.now() + deadlineMs;
    for (;;) {
      const readiness = await this.readiness();
      if (wanted(readiness)) return;
      const over = this.child.exitCode ?? this.child.signalCode;
      if (over !== null || Date.now() > end)
        throw new Error(
          `the worker ${over === null ? `is ${JSON.stringify(readiness)} after ${deadlineMs} ms` : `ended with ${over}`}: ${this.said.slice(-4_000)}`,
        );
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  get alive(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Stands still, alive, as on a machine that is out of breath; until `wakeUp`. */
  standStill(): void {
    this.child.kill('SIGSTOP');
  }

  wakeUp(): void {
    this.child.kill('SIGCONT');
  }

  /** As the system would end it; killed where it takes longer than 30 s. */
  async stop(): Promise<Ending> {
    this.child.kill('SIGTERM');
    const timer = setTimeout(() => this.child.kill('SIGKILL'), STOP_DEADLINE_MS);
    const ending = await this.ended;
    clearTimeout(timer);
    return ending;
  }

  /** At once, with whatever it has open. */
  async kill(): Promise<Ending> {
    this.child.kill('SIGKILL');
    return this.ended;
  }
}
