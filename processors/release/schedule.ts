import type { EpochMs } from '../../schemas/brand.js';

const HOUR_MS = 3_600_000;
/** Offsets that share an entry. A campaign parked for one time is then one entry per so many messages. */
export const BLOCK = 1_024;

/**
 * What waits in one partition of `parked`: per hour of release and block of offsets a list of numbers, each a time
 * within the hour and an offset within the block. A message costs 8 bytes where many are parked for one hour, and
 * about 200 where each has an entry of its own; its record stays in `parked` and is read again when it is due.
 */
export type Entry = readonly number[];

/** The entry that a parked record belongs to. */
export const waitingKey = (until: EpochMs, offset: number): string =>
  `w/${String(Math.floor(until / HOUR_MS))}/${String(Math.floor(offset / BLOCK))}`;

/** A parked record within its entry. */
export const packed = (until: EpochMs, offset: number): number =>
  (until % HOUR_MS) * BLOCK + (offset % BLOCK);

/** Where an entry belongs: hours since the epoch, and offset / BLOCK. */
export interface Place {
  readonly hour: number;
  readonly block: number;
}

/** The place of a waiting entry; null: the key names something else. */
export const hourAndBlock = (key: string): Place | null => {
  if (!key.startsWith('w/')) return null;
  const slash = key.indexOf('/', 2);
  return { hour: Number(key.slice(2, slash)), block: Number(key.slice(slash + 1)) };
};

/** Whether anything of this hour can be due. */
export const begun = (hour: number, now: EpochMs): boolean => hour * HOUR_MS <= now;

/** An entry's due offsets, and what stays in it. Never early: a record is due from its time on. */
export const due = (
  { hour, block }: Place,
  entry: Entry,
  now: EpochMs,
): { readonly offsets: readonly number[]; readonly rest: Entry } => {
  const within = now - hour * HOUR_MS;
  const isDue = (one: number): boolean => Math.floor(one / BLOCK) <= within;
  return {
    offsets: entry.filter(isDue).map((one) => block * BLOCK + (one % BLOCK)),
    rest: entry.filter((one) => !isDue(one)),
  };
};

/** Offsets that are being read again: whoever restores the partition goes on with them. */
export const takenKey = ({ hour, block }: Place, now: EpochMs): string =>
  `t/${String(hour)}/${String(block)}/${String(now)}`;

export const isTaken = (key: string): boolean => key.startsWith('t/');
