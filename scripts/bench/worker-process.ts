import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { projectRoot } from '../../schemas/root.js';
import type { Variables } from './installation.js';

const READY_DEADLINE_MS = 60_000;
const STOP_DEADLINE_MS = 30_000;
/** Linux counts process times in ticks of this many a second (sysconf(_SC_CLK_TCK)). */
const TICKS_PER_SECOND = 100;

/** For profiles: BENCH_NODE_ARGS="--cpu-prof --cpu-prof-dir=DIR" reaches the workers only. */
const nodeArguments = (variables: Variables): string[] =>
  (variables['BENCH_NODE_ARGS'] ?? '').split(' ').filter((argument) => argument !== '');

/** `millrace run` as a process of its own. */
export class WorkerProcess {
  private readonly child: ChildProcess;
  private readonly url: string;

  private constructor(child: ChildProcess, url: string) {
    this.child = child;
    this.url = url;
  }

  static async start(variables: Variables, options: readonly string[]): Promise<WorkerProcess> {
    const child = spawn(
      process.execPath,
      [
        ...nodeArguments(variables),
        path.join(projectRoot(), 'scripts', 'millrace.cjs'),
        'run',
        ...options,
      ],
      { env: variables, stdio: ['ignore', 'ignore', 'pipe'] },
    );
    let said = '';
    const url = await new Promise<string>((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Error(`the worker was not ready in ${READY_DEADLINE_MS} ms: ${said}`));
      }, READY_DEADLINE_MS);
      child.stderr.on('data', (chunk: Buffer) => {
        said = (said + chunk.toString()).slice(-4_000);
        const found = /health (http:\S+)\/readyz/.exec(said);
        if (found?.[1] === undefined) return;
        clearTimeout(timer);
        resolve(found[1]);
      });
      child.once('exit', (code) => {
        clearTimeout(timer);
        reject(new Error(`the worker ended with ${String(code)}: ${said}`));
      });
    });
    const worker = new WorkerProcess(child, url);
    await worker.ready();
    return worker;
  }

  /** User and system time so far, in seconds. */
  cpuSeconds(): number {
    const fields = readFileSync(`/proc/${String(this.child.pid)}/stat`, 'utf8')
      .split(') ')[1]
      ?.split(' ');
    return (Number(fields?.[11] ?? 0) + Number(fields?.[12] ?? 0)) / TICKS_PER_SECOND;
  }

  /** One metric's samples by their labels' text. */
  async metric(name: string): Promise<Map<string, number>> {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    const samples = text.split('\n').flatMap((line) => {
      const found = new RegExp(`^${name}(?:\\{(.*)\\})? (.*)$`).exec(line);
      return found === null ? [] : [[found[1] ?? '', Number(found[2])] as const];
    });
    return new Map(samples);
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null) return;
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill('SIGTERM');
    const timer = setTimeout(() => this.child.kill('SIGKILL'), STOP_DEADLINE_MS);
    await ended;
    clearTimeout(timer);
  }

  private async ready(): Promise<void> {
    const end = Date.now() + READY_DEADLINE_MS;
    for (;;) {
      const response = await fetch(`${this.url}/readyz`).catch(() => null);
      if (response?.ok === true) return;
      if (Date.now() > end)
        throw new Error(`not ready in ${READY_DEADLINE_MS} ms: ${(await response?.text()) ?? ''}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
