import type { Finding } from './finding.js';
import { bad, good, note } from './finding.js';

/** Windows are cut by our clock, expiry and dedupe spans compare it with producers': seconds do harm. */
const NOTE_MS = 1_000;
const BAD_MS = 10_000;

/**
 * Compares another clock with ours: it was read somewhere between `before` and `after`, so a difference within that
 * time is none.
 */
export const skewFinding = (
  whose: string,
  theirs: number,
  before: number,
  after: number,
): Finding => {
  const ahead = theirs > after ? theirs - after : theirs < before ? theirs - before : 0;
  const size = Math.abs(ahead);
  const words = `${whose} is ${size} ms ${ahead >= 0 ? 'ahead of' : 'behind'} this machine`;
  if (size >= BAD_MS) return bad('clock', words, 'set both by NTP (timedatectl set-ntp true)');
  if (size >= NOTE_MS) return note('clock', words, 'check NTP on both');
  return good(
    'clock',
    `${whose} agrees with this machine within ${Math.max(size, after - before)} ms`,
  );
};
