// @ts-check
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/**
 * Who listens on a port, as far as the system tells us: Linux only, and only processes of the
 * same user unless we are root.
 * @param {number} port
 * @returns {string | null} "process 42 (java -Xmx1g …) in /home/me/other/.stack/data/kafka"
 */
export function holderOfPort(port) {
  try {
    const inodes = ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((file) =>
      listeningInodes(readOrEmpty(file), port),
    );
    const sockets = new Set(inodes.map((inode) => `socket:[${inode}]`));
    if (sockets.size === 0) return null;
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      if (holdsOne(pid, sockets)) return `process ${pid} (${commandOf(pid)})${directoryOf(pid)}`;
    }
  } catch {
    // No /proc: the clash is still named, only its holder isn't.
  }
  return null;
}

/**
 * @param {string} table text of /proc/net/tcp
 * @param {number} port
 */
export function listeningInodes(table, port) {
  const listening = '0A';
  return table
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter(
      ([, local, , state]) =>
        state === listening && Number.parseInt(local?.split(':')[1] ?? '', 16) === port,
    )
    .map((fields) => fields[9]);
}

/**
 * @param {string} pid
 * @param {ReadonlySet<string>} sockets
 */
function holdsOne(pid, sockets) {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => {
      try {
        return sockets.has(readlinkSync(`/proc/${pid}/fd/${fd}`));
      } catch {
        return false;
      }
    });
  } catch {
    return false;
  }
}

/** @param {string} pid */
function commandOf(pid) {
  const command = readOrEmpty(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim();
  return command.length > 60 ? `${command.slice(0, 60)}…` : command || 'unknown';
}

/**
 * Tells the stack of another checkout at a glance.
 * @param {string} pid
 */
function directoryOf(pid) {
  try {
    return ` in ${readlinkSync(`/proc/${pid}/cwd`)}`;
  } catch {
    return '';
  }
}

/** @param {string} path */
function readOrEmpty(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
