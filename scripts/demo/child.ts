import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { projectRoot } from '../../schemas/root.js';

export interface ChildOptions {
  /** For people, e.g. worker. */
  readonly name: string;
  /** Of node: the script and what follows. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where its output goes. */
  readonly log: string;
  /** Lives on when we end. */
  readonly detached: boolean;
}

const POLL_MS = 50;
const STOP_MS = 25_000;

/** A node process of the demo, its output in a file. */
export class Child {
  readonly #process: ChildProcess;
  readonly #options: ChildOptions;
  #ended = false;

  constructor(options: ChildOptions) {
    this.#options = options;
    const out = openSync(options.log, 'w');
    this.#process = spawn(process.execPath, [...options.args], {
      cwd: projectRoot(),
      env: options.env,
      stdio: ['ignore', out, out],
      detached: options.detached,
    });
    closeSync(out);
    this.#process.on('exit', () => {
      this.#ended = true;
    });
    this.#process.on('error', () => {
      this.#ended = true;
    });
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Its last lines, for a person who must find out why. */
  lastWords(): string {
    const lines = readFileSync(this.#options.log, 'utf8').trimEnd().split('\n');
    return lines.slice(-5).join('\n');
  }

  /** Polls until it answers. @throws where it ended, or the time is up, with its last lines */
  async until<T>(deadlineMs: number, probe: () => Promise<T | undefined>): Promise<T> {
    const deadline = Date.now() + deadlineMs;
    for (;;) {
      const answer = await probe();
      if (answer !== undefined) return answer;
      const { name, log } = this.#options;
      if (this.#ended || Date.now() > deadline)
        throw new Error(
          `the ${name} ${this.#ended ? 'ended' : `was not ready within ${deadlineMs / 1_000} s`}; ${path.relative(projectRoot(), log)} ends with:\n${this.lastWords()}`,
        );
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** The text it has written so far. */
  written(): string {
    return readFileSync(this.#options.log, 'utf8');
  }

  /** Asks it to end, waits; kills it where it does not. */
  async stop(): Promise<void> {
    if (this.#ended) return;
    this.#process.kill('SIGTERM');
    const deadline = Date.now() + STOP_MS;
    while (!this.#hasEnded() && Date.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    if (!this.#hasEnded()) this.#process.kill('SIGKILL');
  }

  /** Lets us end while it goes on. */
  release(): void {
    this.#process.unref();
  }

  #hasEnded(): boolean {
    return this.#ended;
  }
}
