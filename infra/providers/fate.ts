/**
 * What happens to one request, from nothing but the seed and its reference: the same seed gives each message the same
 * fate, in whatever order requests come.
 */
export class Fate {
  readonly #seed: string;

  constructor(seed: string, reference: string) {
    this.#seed = `${seed}\0${reference}\0`;
  }

  /** Uniform in [0, 1), a different one for each question. */
  roll(question: string): number {
    return hash(this.#seed + question) / 2 ** 32;
  }

  /** The code whose share the roll falls into, or null. */
  pick(question: string, shares: Readonly<Record<string, number>>): string | null {
    let left = this.roll(question);
    for (const [code, share] of Object.entries(shares)) {
      if (left < share) return code;
      left -= share;
    }
    return null;
  }

  /** Log-normal by its median and 99th percentile. */
  delayMs(question: string, { p50, p99 }: { readonly p50: number; readonly p99: number }): number {
    if (p50 === 0) return 0;
    const sigma = Math.log(Math.max(p99, p50) / p50) / 2.326;
    // Box-Muller; 1 - roll is never 0.
    const radius = Math.sqrt(-2 * Math.log(1 - this.roll(`${question} radius`)));
    return p50 * Math.exp(sigma * radius * Math.cos(2 * Math.PI * this.roll(`${question} angle`)));
  }
}

/** FNV-1a with a final mix, so that texts which differ in their last digit roll independently. */
const hash = (text: string): number => {
  let value = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1)
    value = Math.imul(value ^ text.charCodeAt(index), 0x01000193);
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return (value ^ (value >>> 16)) >>> 0;
};
