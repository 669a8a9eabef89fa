import type { EpochMs } from '../../schemas/brand.js';

/** A time as a clock on the wall of a time zone has it. */
export interface LocalTime {
  /** 0 to 23. */
  readonly hour: number;
  /** 1 (Monday) to 7, as ISO 8601 numbers them. */
  readonly weekday: number;
  /** 2026-05-20: equal for two times of one calendar day there. */
  readonly day: string;
}

const WEEKDAYS = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'];

/** Making one takes longer than all that is asked of it. */
const formats = new Map<string, Intl.DateTimeFormat>();

const formatOf = (zone: string): Intl.DateTimeFormat => {
  const known = formats.get(zone);
  if (known !== undefined) return known;
  const made = new Intl.DateTimeFormat('en-US', {
    timeZone: zone,
    hourCycle: 'h23',
    hour: 'numeric',
    weekday: 'short',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
  });
  formats.set(zone, made);
  return made;
};

export const localTime = (at: EpochMs, zone: string): LocalTime => {
  const parts = new Map(
    formatOf(zone)
      .formatToParts(at)
      .map(({ type, value }) => [type, value]),
  );
  const part = (type: Intl.DateTimeFormatPartTypes): string => parts.get(type) ?? '';
  return {
    hour: Number(part('hour')),
    weekday: WEEKDAYS.indexOf(part('weekday')) + 1,
    day: `${part('year')}-${part('month')}-${part('day')}`,
  };
};
