import { readFileSync } from 'node:fs';
import os from 'node:os';
import rdkafka from 'node-rdkafka';

/** The p-th percentile (0..100) of unsorted numbers; NaN of none. Nearest rank. */
export const percentile = (values: readonly number[], p: number): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return (
    sorted[Math.min(sorted.length - 1, Math.ceil((p / 100) * sorted.length) - 1)] ?? Number.NaN
  );
};

export const median = (values: readonly number[]): number => percentile(values, 50);

export const round = (value: number, places = 1): number => Number(value.toFixed(places));

/** Ticks that other machines on this host took, and all ticks, since the start; [0, 1] where the system does not say. */
const stolenTicks = (): readonly [stolen: number, all: number] => {
  try {
    const [, ...ticks] = (readFileSync('/proc/stat', 'utf8').split('\n')[0] ?? '').split(/ +/);
    const numbers = ticks.slice(0, 8).map(Number);
    return [numbers[7] ?? 0, numbers.reduce((sum, one) => sum + one, 0)];
  } catch {
    return [0, 1];
  }
};

const atStart = stolenTicks();
const loadAtStart = os.loadavg()[0] ?? 0;

/** Per cent of the processors' time that others on this host took while we measured: above 2 the figures are theirs too. */
const stolenPercent = (): number => {
  const [stolen, all] = stolenTicks();
  return round((100 * (stolen - atStart[0])) / Math.max(1, all - atStart[1]));
};

/** Figures mean nothing without these. */
export const surroundings = () => ({
  machine: {
    cores: os.availableParallelism(),
    memoryGiB: round(os.totalmem() / 2 ** 30),
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
    loadBefore: round(loadAtStart),
    stolenPercent: stolenPercent(),
  },
  versions: { node: process.version, librdkafka: rdkafka.librdkafkaVersion },
});
