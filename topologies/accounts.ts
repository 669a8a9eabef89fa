import type { AccountLevel } from '../schemas/generated/records.js';
import { ACCOUNTS_AT_ONCE, type AccountLevels } from '../sinks/postgres/account-levels.js';
import type { Chore } from './runtime/chores.js';

/** Readers hear of a crossed level about so late. */
const EVERY_MS = 1_000;

/** The key of an account's record. */
export const accountKey = ({ tenantId, businessLine }: AccountLevel): string =>
  `${tenantId}/${businessLine}`;

/**
 * Tells the topic `accounts` what changed: a level crossed (20 %, 10 %, empty), a recharge, a closing; at least once, and
 * what was told is written down only once the broker has it.
 */
export const publishAccounts = (
  levels: AccountLevels,
  deliver: (records: readonly AccountLevel[]) => Promise<void>,
): Chore => ({
  name: 'accounts',
  everyMs: EVERY_MS,
  run: async (signal) => {
    // A round more where there is more to tell, never because something changed meanwhile: that waits its second.
    let told = ACCOUNTS_AT_ONCE;
    while (told === ACCOUNTS_AT_ONCE && !signal.aborted) {
      const changed = await levels.changed();
      told = changed.length;
      if (told === 0) return;
      await deliver(changed.map(({ record }) => record));
      await levels.published(changed);
    }
  },
});
