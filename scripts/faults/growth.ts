import { readFileSync, readdirSync } from 'node:fs';

/** What a process holds of the machine. */
interface Holding {
  readonly descriptors: number;
  readonly memoryMib: number;
}

/** A worker under the same load may hold so much more than when it had settled. */
const MORE = { descriptors: 200, memoryMib: 400 } as const;
/** At the first of them it may just have been started: none of its hundreds of connections was made yet. */
const SETTLING_LOOKS = 2;

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
  private readonly settled = new Map<number, Holding & { readonly looks: number }>();

  /** @returns what grew out of bounds, in words */
  look(pids: readonly number[]): readonly string[] {
    return pids.flatMap((pid) => {
      const now = holdingOf(pid);
      if (now === null) return [];
      const before = this.settled.get(pid);
      if (before === undefined || before.looks < SETTLING_LOOKS) {
        this.settled.set(pid, { ...now, looks: (before?.looks ?? 0) + 1 });
        return [];
      }
      return [
        ...(now.descriptors > before.descriptors + MORE.descriptors
          ? [`worker ${pid}: ${before.descriptors} descriptors, then ${now.descriptors}`]
          : []),
        ...(now.memoryMib > before.memoryMib + MORE.memoryMib
          ? [
              `worker ${pid}: ${before.memoryMib.toFixed(0)} MiB, then ${now.memoryMib.toFixed(0)} MiB`,
            ]
          : []),
      ];
    });
  }
}
