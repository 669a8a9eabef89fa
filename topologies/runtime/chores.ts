import { setTimeout as pause } from 'node:timers/promises';
import { asError } from '../../schemas/error.js';
import type { Logger } from './log.js';

/**
 * Work that no record asks for, done again and again by one worker of an installation: levels of accounts, expiry,
 * recharges, reconciliation. Two workers may do the same one at once for a moment (the lock's connection breaks before
 * its holder knows), so each must be right then too: what it books has an id.
 */
export interface Chore {
  readonly name: string;
  /** ms from the end of one to the next. */
  readonly everyMs: number;
  /** A failure is logged and counted; the next one comes as if it had succeeded. */
  readonly run: (signal: AbortSignal) => Promise<void>;
}

/** Who of several workers does them. */
export interface ChoreLock {
  readonly release: () => Promise<void>;
}

export type ChoreLockEvent = 'lost' | 'regained';

export interface ChoresOptions {
  readonly chores: readonly Chore[];
  /** Resolves null: another worker holds it. @throws PipelineError: its store is away */
  readonly lock: (onEvent: (event: ChoreLockEvent) => void) => Promise<ChoreLock | null>;
  readonly log: Pick<Logger, 'warn' | 'info'>;
  readonly done: (chore: string, outcome: 'done' | 'failed', milliseconds: number) => void;
  /** ms between attempts at the lock. */
  readonly tryAgainMs?: number;
}

const TRY_AGAIN_MS = 5_000;

/** Does chores while it holds the lock, each in a loop of its own. */
export const doChores = ({
  chores,
  lock,
  log,
  done,
  tryAgainMs = TRY_AGAIN_MS,
}: ChoresOptions): { readonly close: () => Promise<void> } => {
  const stop = new AbortController();
  const { signal } = stop;
  const stopped = (): boolean => signal.aborted;
  // Rejected by the abort only, which ends every loop.
  const rest = (ms: number) => pause(ms, undefined, { signal }).catch(() => undefined);
  let held: ChoreLock | null = null;
  const state = { lost: false };

  const obtain = async (): Promise<void> => {
    while (held === null && !stopped()) {
      try {
        held = await lock((event) => {
          state.lost = event === 'lost';
        });
      } catch (thrown) {
        log.warn({ err: asError(thrown) }, 'chores: the lock cannot be asked for, trying again');
      }
      if (held === null) await rest(tryAgainMs);
    }
  };
  const again = async (chore: Chore): Promise<void> => {
    while (!stopped()) {
      if (!state.lost) {
        const began = performance.now();
        try {
          await chore.run(signal);
          done(chore.name, 'done', performance.now() - began);
        } catch (thrown) {
          if (!stopped()) {
            log.warn({ chore: chore.name, err: asError(thrown) }, 'a chore failed');
            done(chore.name, 'failed', performance.now() - began);
          }
        }
      }
      await rest(chore.everyMs);
    }
  };
  const working = (async () => {
    await obtain();
    if (stopped()) return;
    log.info({ chores: chores.map(({ name }) => name) }, 'this worker does the chores');
    await Promise.all(chores.map(again));
  })();
  return {
    close: async () => {
      stop.abort();
      await working;
      await held?.release();
    },
  };
};
