import cliProgress from 'cli-progress';
import type { Cli } from '../cli/cli.js';

/** A bar over what the re-entry task has still to look at. */
export const waitingBar = (
  cli: Cli,
  written: number,
): { readonly update: (left: number | null) => void; readonly stop: () => void } => {
  if (!cli.watched || written === 0) return { update: () => undefined, stop: () => undefined };
  const bar = new cliProgress.SingleBar({
    format: '{what} {bar} {value}/{total}  {eta_formatted} left',
    clearOnComplete: true,
    stream: process.stderr,
  });
  bar.start(written, 0, { what: 'waiting for the message index' });
  return {
    update: (left) => {
      if (left === null) return;
      bar.update(Math.max(0, written - left), { what: 'looked at' });
    },
    stop: () => {
      bar.stop();
    },
  };
};
