// @ts-check
import { readFileSync } from 'node:fs';

/**
 * A list as `sha256sum` writes it, pinned beside this file. To renew one after a version change:
 * empty the list, let the download fail, check the new files, then run `sha256sum *` over them.
 * @param {string} file
 * @returns {ReadonlyMap<string, string>} file name to sha256
 */
export function pinned(file) {
  const text = readFileSync(new URL(`./checksums/${file}`, import.meta.url), 'utf8');
  return new Map(
    text
      .trim()
      .split('\n')
      .map((line) => line.split(/\s+/))
      .map(([sum = '', name = '']) => [name, sum]),
  );
}
