import type { Cli } from '../cli/cli.js';
import { Unsuccessful } from '../cli/exit.js';
import type { RebuildOptions, RebuildReport } from './recorded-run.js';

/** Prints what was found or done, figure by figure in these words. @throws Unsuccessful where it is not all well */
export const report = (
  cli: Cli,
  options: RebuildOptions,
  found: RebuildReport,
  words: Readonly<Record<string, { readonly dry: string; readonly done?: string }>>,
): void => {
  if (options.json === true) cli.printJson(found);
  else {
    for (const { topic, partition, from, to } of found.range)
      cli.print(`${topic}/${partition}  ${from} to ${to}`);
    const read = found.figures['read'] ?? 0;
    cli.print(
      `${read} records read in ${found.seconds.toFixed(1)} s, ${Math.round(read / Math.max(found.seconds, 0.001))}/s`,
    );
    for (const [name, { dry, done = dry }] of Object.entries(words))
      cli.print(
        `  ${(found.figures[name] ?? 0).toString().padStart(9)}  ${found.applied ? done : dry}`,
      );
    if (!found.applied)
      cli.print('Nothing was written. To write what is missing: --reason "..." --apply');
    else if (found.finished)
      cli.print(
        found.problems.length === 0 ? `checked: all is there (run ${found.run ?? ''})` : '',
      );
  }
  for (const problem of found.problems) cli.note(problem);
  if (!found.finished) cli.note(`interrupted; to go on: --apply --resume ${found.run ?? ''}`);
  if (!found.finished || found.problems.length > 0) throw new Unsuccessful();
};
