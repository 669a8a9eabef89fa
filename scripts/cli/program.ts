import type { Command } from 'commander';
import { exitCodeOf } from './exit.js';

/**
 * A program beside `millrace`, with a command line of its own: reads it, runs, and sets the exit code.
 * @param command one with `exitOverride()`: --help and mistakes end here too
 */
export const runProgram = async (command: Command, main: () => Promise<number>): Promise<void> => {
  try {
    command.parse();
    process.exitCode = await main();
  } catch (thrown) {
    process.exitCode = exitCodeOf(thrown);
  }
};
