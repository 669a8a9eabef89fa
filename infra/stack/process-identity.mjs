// @ts-check
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/**
 * What tells a process from a later one with the same id: when it started. Null when nothing
 * lives under the id (a zombie doesn't). Signalling by a bare id from a file could kill a
 * stranger after a reboot or an id wrap.
 * @param {number} pid
 * @returns {string | null}
 */
export function identityOf(pid) {
  if (process.platform === 'linux') {
    try {
      return identityFromStat(readFileSync(`/proc/${pid}/stat`, 'utf8'), bootId());
    } catch {
      return null;
    }
  }
  try {
    const answer = execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' });
    return answer.trim() || null;
  } catch {
    return null;
  }
}

/**
 * @param {string} stat a line of /proc/<pid>/stat; the command in it may hold blanks and brackets
 * @param {string} boot
 */
export function identityFromStat(stat, boot) {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state, startTicks] = [fields[0], fields[19]];
  if (startTicks === undefined || state === 'Z' || state === 'X') return null;
  return `${boot}:${startTicks}`;
}

const bootId = () => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();

/**
 * Whether the recorded process still runs, and is that one.
 * @param {{ pid: number, identity: string }} record
 */
export const isAlive = ({ pid, identity }) => identityOf(pid) === identity;
