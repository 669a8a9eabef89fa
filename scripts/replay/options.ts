import { type Command, InvalidArgumentError } from 'commander';
import type { AgainStage } from '../../topologies/topic-names.js';
import { AGAIN_STAGES } from '../../topologies/topic-names.js';
import { positive } from '../cli/options.js';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export const runId = (text: string): string => {
  if (!UUID.test(text))
    throw new InvalidArgumentError('the id of a run: millrace actions shows it.');
  return text;
};

export const againStage = (text: string): AgainStage => {
  const found = AGAIN_STAGES.find((stage) => stage === text);
  if (found === undefined) throw new InvalidArgumentError(`one of ${AGAIN_STAGES.join(', ')}.`);
  return found;
};

/** 500 or 500/s. */
const rate = (text: string): number => positive(text.replace(/\/s$/, ''));

/** What every recovery command takes. */
export const recoveryOptions = (command: Command): Command =>
  command
    .option('--rate <n/s>', 'records a second at most', rate)
    .option('--reason <text>', 'why; kept in the record of actions')
    .option('--apply', 'do it; default: only read and count')
    .option('--run, --resume <id>', 'go on with a run that was interrupted or failed', runId)
    .option('--json', 'machine-readable');

const UNITS: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** 90s, 15m, 24h, 7d, in milliseconds. */
export const duration = (text: string): number => {
  const [, amount, unit] = /^(\d+)([smhd])$/.exec(text) ?? [];
  if (amount === undefined || unit === undefined)
    throw new InvalidArgumentError('a duration such as 90s, 15m, 24h, 7d.');
  return Number(amount) * (UNITS[unit] ?? 0);
};
