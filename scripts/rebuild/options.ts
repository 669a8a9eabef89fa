import type { Command } from 'commander';
import { CONFIG_FOLDER } from '../cli/installation.js';
import { positive } from '../cli/options.js';
import { runId } from '../replay/options.js';

/** What every rebuild takes. */
export const rebuildOptions = (command: Command): Command =>
  command
    .option('--reason <text>', 'why; kept in the record of actions')
    .option('--apply', 'write what is missing; default: only compare and count')
    .option('--resume <run>', 'go on with a run that was interrupted or failed', runId)
    .option('--rate <n>', 'records a second at most', positive)
    .option('--json', 'machine-readable');

/** Of those that read topics which the configuration names. */
export interface FolderOption {
  readonly dir: string;
}

export const folderOption = (command: Command): Command =>
  command.option(
    '--dir <folder>',
    'business configuration: its tenants have topics',
    CONFIG_FOLDER,
  );
