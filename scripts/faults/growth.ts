import { readFileSync, readdirSync } from 'node:fs';

/** What a process holds of the machine. */
export interface Holding {
  readonly descriptors: number;
  readonly memoryMib: number;
}

/** A worker under the same load may hold so much more than in its beginning. */
const MORE: Holding = { descriptors: 200, memoryMib: 400 };
/**
 * Looks in which a worker makes its hundreds of connections and fills its heap, and looks at the end in all of which it
 * must hold more: a cluster that breaks has clients renewed and connected twice for a while.
 */
const EARLY = 4;
const LATE = 3;

/** What grew out of bounds, in words, from all looks at one worker. */
export const grown = (looks: readonly Holding[]): readonly string[] => {
  if (looks.length < EARLY + LATE) return [];
  return (['descriptors', 'memoryMib'] as const).flatMap((what) => {
    const before = Math.max(...looks.slice(0, EARLY).map((look) => look[what]));
    const now = Math.min(...looks.slice(-LATE).map((look) => look[what]));
    return now > before + MORE[what]
      ? [`${before.toFixed(0)} ${what}, then ${now.toFixed(0)} and more`]
      : [];
  });
};

/** null where it is gone. */
const holdingOf = (pid: number): Holding | null => {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return {
      descriptors: readdirSync(`/proc/${pid}/fd`).length,
      memoryMib: Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1_024,
    };
  } catch {
    return null;
  }
};

/** Whether workers that live through several rounds hold ever more descriptors or memory. */
export class Growth {
  private readonly looks = new Map<number, Holding[]>();

  look(pids: readonly number[]): void {
    for (const pid of pids) {
      const now = holdingOf(pid);
      if (now !== null) this.looks.set(pid, [...(this.looks.get(pid) ?? []), now]);
    }
  }

  /** What grew out of bounds so far, a line a worker. */
  get found(): readonly string[] {
    return [...this.looks].flatMap(([pid, looks]) =>
      grown(looks).map((words) => `worker ${pid}: ${words}`),
    );
  }
}
