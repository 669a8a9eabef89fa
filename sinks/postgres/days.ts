import type { EpochMs } from '../../schemas/brand.js';
import type { Database } from './pool.js';
import { plainArray } from './array-literal.js';

const DAY_MS = 86_400_000;

const names = new Map<number, string>();

/** The UTC day of a time, as a date: YYYY-MM-DD. */
export const dayOf = (time: EpochMs): string => {
  const number = Math.floor(time / DAY_MS);
  const known = names.get(number);
  if (known !== undefined) return known;
  const day = new Date(number * DAY_MS).toISOString().slice(0, 10);
  // A few days are in use at once; the bound is for replays of old ones.
  if (names.size > 1_000) names.clear();
  names.set(number, day);
  return day;
};

const ENSURE = {
  name: 'ensure_days',
  text: 'select day::text from ensure_days($1::date[]) as day',
};

/** Which days have a partition. Asked of Postgres once per day and process. */
export interface Days {
  /** Attaches what is missing; answers the days that take no reservations any more. */
  readonly closed: (days: ReadonlySet<string>) => Promise<ReadonlySet<string>>;
  /** After a partition turned out to be gone: ask again. */
  readonly forget: () => void;
}

export const reservationDays = (database: Database): Days => {
  const open = new Set<string>();
  return {
    async closed(days) {
      const unknown = [...days].filter((day) => !open.has(day));
      if (unknown.length === 0) return new Set();
      const rows = await database.query<{ day: string }>(ENSURE, [plainArray(unknown)]);
      for (const { day } of rows) open.add(day);
      return new Set(unknown.filter((day) => !open.has(day)));
    },
    forget: () => {
      open.clear();
    },
  };
};
