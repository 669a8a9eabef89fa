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

/** Figures mean nothing without these. */
export const surroundings = () => ({
  machine: {
    cores: os.availableParallelism(),
    memoryGiB: round(os.totalmem() / 2 ** 30),
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
    loadBefore: os.loadavg()[0] ?? 0,
  },
  versions: { node: process.version, librdkafka: rdkafka.librdkafkaVersion },
});
