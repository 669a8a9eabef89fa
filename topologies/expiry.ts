import { setTimeout as pause } from 'node:timers/promises';
import type { EpochMs, MessageId } from '../schemas/brand.js';
import { messageKey } from './claimed-messages.js';
import type { Chore } from './runtime/chores.js';
import type { Logger } from './runtime/log.js';

/** All attached days are read for it. */
const EVERY_MS = 3_600_000;
/** Clocks of workers may differ by it: one that is slow sends what another takes for expired. */
const GRACE_MS = 3_600_000;
const AT_MOST = 10_000;
/** How long the attempts sink may take to come to where the claims were read. */
const PATIENCE_MS = 60_000;
const LOOK_MS = 500;

interface Reservation {
  readonly day: string;
  readonly tenantId: string;
  readonly messageId: MessageId;
  readonly generation: number;
}

interface GivenBack {
  readonly tenantId: string;
  readonly businessLine: string;
  readonly currency: string;
  readonly messages: bigint;
  readonly cashMicros: bigint;
  readonly units: bigint;
}

export interface ExpiryOptions {
  readonly reservations: {
    readonly before: (time: EpochMs, atMost: number) => Promise<readonly Reservation[]>;
    readonly expire: (
      reservations: readonly Reservation[],
      time: EpochMs,
    ) => Promise<readonly GivenBack[]>;
  };
  /** Messages with a claim that is committed, by messageKey. */
  readonly claimed: () => Promise<ReadonlySet<string>>;
  /** All feedback before this time is in the attempts table; null: not known. */
  readonly attemptsPassed: () => Promise<EpochMs | null>;
  readonly log: Pick<Logger, 'warn' | 'info'>;
  readonly count: (messages: number) => void;
  readonly now?: () => EpochMs;
  readonly patienceMs?: number;
}

/**
 * Gives back what messages hold that can be sent no more and that nobody tried to send: they were lost on the way, or
 * their refusal was. Age alone never decides. A message is left alone where the attempts table has one of it, whatever
 * came of it, or where a sender has claimed it; and its attempts are asked for again when all feedback from before the
 * claims were read is stored, so that none can lie between the two.
 */
export const expireReservations = ({
  reservations,
  claimed,
  attemptsPassed,
  log,
  count,
  now = Date.now,
  patienceMs = PATIENCE_MS,
}: ExpiryOptions): Chore => {
  const passes = async (time: EpochMs, signal: AbortSignal): Promise<boolean> => {
    const deadline = now() + patienceMs;
    for (;;) {
      const passed = await attemptsPassed();
      if (passed !== null && passed >= time) return true;
      if (now() >= deadline || signal.aborted) return false;
      // Rejected by the abort only.
      await pause(LOOK_MS, undefined, { signal }).catch(() => undefined);
    }
  };
  return {
    name: 'expiry',
    everyMs: EVERY_MS,
    async run(signal) {
      const stopped = (): boolean => signal.aborted;
      const before = now() - GRACE_MS;
      const found = await reservations.before(before, AT_MOST);
      if (found.length === 0 || stopped()) return;
      const under = await claimed();
      const readAt = now();
      const free = found.filter((reservation) => !under.has(messageKey(reservation)));
      if (free.length < found.length)
        log.info({ claimed: found.length - free.length }, 'expired, and a sender has claimed them');
      if (free.length === 0) return;
      if (!(await passes(readAt, signal))) {
        if (!stopped())
          log.warn(
            { reservations: free.length },
            'expired reservations are left for the next time: the attempts sink has not come so far',
          );
        return;
      }
      for (const account of await reservations.expire(free, before)) {
        count(Number(account.messages));
        const { messages, cashMicros, units, ...whose } = account;
        const sums = { messages: Number(messages), cashMicros: cashMicros.toString() };
        log.warn(
          { ...whose, ...sums, units: units.toString() },
          'gave back what expired messages held that were never sent: look for where they were lost',
        );
      }
    },
  };
};
