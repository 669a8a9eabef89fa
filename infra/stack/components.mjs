// @ts-check
import { influx } from './influx.mjs';
import { kafka } from './kafka.mjs';
import { postgres } from './postgres.mjs';
import { redis } from './redis.mjs';
import { registry } from './registry.mjs';
/** @import { ComponentName } from './endpoints.mjs' */
/** @import { Ports } from './ports.mjs' */
/** @import { Progress } from './progress.mjs' */
/** @import { Launch } from './supervision.mjs' */

/**
 * One process of the stack.
 * @typedef {{ ports: Ports, progress: Progress, signal?: AbortSignal | undefined, secure?: boolean }} StartContext
 *   secure: the broker asks who one is, and what one may
 *
 * @typedef {object} Component
 * @property {ComponentName} name
 * @property {string} version
 * @property {(ports: Ports) => { port: number, purpose: string }[]} ports
 * @property {(context: StartContext) => Promise<Launch>} launch fetches what is missing, writes its
 *   configuration and says how to start it
 * @property {(url: string) => Promise<boolean>} ready asked over the network, so it holds for a
 *   replaced component too
 * @property {(url: string) => Promise<void>} [afterStart] once ready
 * @property {(url: string) => Promise<void>} [beforeStop]
 * @property {number} startDeadlineMs generous: one that dies is noticed at once, and on a machine
 *   with six times its load a registry took over a minute
 * @property {{ signal: NodeJS.Signals, graceMs: number }} stop
 */

/** @type {readonly Component[]} */
export const components = [kafka, registry, postgres, redis, influx];
