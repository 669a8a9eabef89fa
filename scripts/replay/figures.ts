/** Counts by name. */
export type Figures = Readonly<Record<string, number>>;

export const sum = (a: Figures, b: Figures): Figures => {
  const all: Record<string, number> = { ...a };
  for (const [name, count] of Object.entries(b)) all[name] = (all[name] ?? 0) + count;
  return all;
};

/** Counts one by one. */
export class Tally {
  private readonly counts: Record<string, number> = {};

  add(name: string, count = 1): void {
    this.counts[name] = (this.counts[name] ?? 0) + count;
  }

  get figures(): Figures {
    return this.counts;
  }
}
