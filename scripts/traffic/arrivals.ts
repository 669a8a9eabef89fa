/**
 * When each message arrives: a rate that swells and falls with short campaigns on top, its peak PEAK_FACTOR times
 * its mean (the figure of real SMS traffic in the simulators' calibration).
 */
export const PEAK_FACTOR = 2.5;

const STEPS = 1_000;
/** Campaign bursts: where they begin and how long they last, as shares of the whole. */
const BURSTS = [
  { at: 0.18, for: 0.05 },
  { at: 0.52, for: 0.08 },
  { at: 0.81, for: 0.04 },
] as const;

/** The rate at each step, with mean 1 and maximum PEAK_FACTOR. */
const shape = (): Float64Array => {
  const calm = Float64Array.from(
    { length: STEPS },
    (_, step) => 1 + 0.35 * Math.sin((2 * Math.PI * 2 * step) / STEPS),
  );
  const inBurst = (step: number) =>
    BURSTS.some((burst) => step >= burst.at * STEPS && step < (burst.at + burst.for) * STEPS);
  const outside = calm.filter((_, step) => !inBurst(step));
  const outsideSum = outside.reduce((sum, rate) => sum + rate, 0);
  const burstSteps = STEPS - outside.length;
  // Bursts at the peak; the calm between them takes what is left of a mean of 1.
  const scale = (STEPS - burstSteps * PEAK_FACTOR) / outsideSum;
  return calm.map((rate, step) => (inBurst(step) ? PEAK_FACTOR : rate * scale));
};

/** Offsets in ms of `count` arrivals within durationMs, ascending: the inverse of the cumulative rate. */
export const arrivals = (count: number, durationMs: number): Float64Array => {
  const rates = shape();
  const offsets = new Float64Array(count);
  let step = 0;
  let before = 0;
  for (let index = 0; index < count; index++) {
    const wanted = ((index + 0.5) * STEPS) / count;
    while (step < STEPS - 1 && before + (rates[step] ?? 0) < wanted) {
      before += rates[step] ?? 0;
      step += 1;
    }
    const within = Math.min(1, (wanted - before) / (rates[step] ?? 1));
    offsets[index] = ((step + within) / STEPS) * durationMs;
  }
  return offsets;
};
