import { InvalidArgumentError } from 'commander';
import type { Lane } from '../../schemas/generated/records.js';
import type { Coordinates } from '../../schemas/record.js';
import { LANES } from '../../schemas/generated/records.js';

/** Parsers of option values; commander names the option in front of what they throw. */

export const integer =
  (least: number, most: number = Number.MAX_SAFE_INTEGER) =>
  (text: string): number => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < least || value > most)
      throw new InvalidArgumentError(`a whole number from ${least} to ${most}.`);
    return value;
  };

export const positive = (text: string): number => {
  const value = Number(text);
  if (!(value > 0) || !Number.isFinite(value)) throw new InvalidArgumentError('a number above 0.');
  return value;
};

export const lane = (text: string): Lane => {
  const found = LANES.find((one) => one === text.toLowerCase());
  if (found === undefined) throw new InvalidArgumentError(`one of ${LANES.join(', ')}.`);
  return found;
};

const UNITS: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** A duration (90s, 15m, 24h, 7d) before now, or a time in ISO 8601; answers ms since the epoch. */
export const pointInTime = (text: string): number => {
  const [, amount, unit] = /^(\d+)([smhd])$/.exec(text) ?? [];
  if (amount !== undefined && unit !== undefined)
    return Date.now() - Number(amount) * (UNITS[unit] ?? 0);
  const time = Date.parse(text);
  if (Number.isNaN(time))
    throw new InvalidArgumentError(
      'a duration such as 15m, 24h, 7d, or a time such as 2026-01-31T08:00Z.',
    );
  return time;
};

/** topic/partition/offset. */
export const place = (text: string): Coordinates => {
  const [, topic, partition, offset] = /^(.+)[/:](\d+)[/:](\d+)$/.exec(text) ?? [];
  if (topic === undefined) throw new InvalidArgumentError('topic/partition/offset.');
  return { topic, partition: Number(partition), offset: Number(offset) };
};
