import type { EpochMs } from '../../schemas/brand.js';
import { PipelineError } from '../../schemas/error.js';
import type { Coordinates, Headers } from '../../schemas/record.js';

/** Headers of every record on `again.*`, all text. The record itself is its stage's input, unchanged. */
export const REENTRY_HEADERS = {
  run: 'millrace-run',
  started: 'millrace-run-started',
  reason: 'millrace-reason',
  generation: 'millrace-generation',
  release: 'millrace-release',
  topic: 'millrace-origin-topic',
  partition: 'millrace-origin-partition',
  offset: 'millrace-origin-offset',
} as const;

/** Run of what comes back by itself once its time has come. */
export const RELEASE_RUN = 'release';

/** Run of what is asked about again because its account recalls its leases. */
export const DIVERT_RUN = 'divert';

/** Why a record comes back, from where, and as what. */
export interface Reentry {
  /** Names the operator's run, or `release`, or `divert`. */
  readonly runId: string;
  /** When the run began: milliseconds since the epoch. The message index must have passed it. */
  readonly startedAt: EpochMs;
  /** In the operator's words. */
  readonly reason: string;
  /** As which delivery: the original's own (replay, release), or the next (redrive, --again). */
  readonly generation: number;
  /** 0: a replay or redrive. From 1: the how-manieth release of a parked message. */
  readonly releaseNo: number;
  /** The record that it was read from. */
  readonly origin: Coordinates;
}

/** Headers are for machines and their logs; what a person typed must not make them long. */
const MAX_REASON_LENGTH = 500;

export const reentryHeaders = (entry: Reentry): Headers => {
  const { runId, startedAt, reason, generation, releaseNo, origin } = entry;
  const text = (value: string | number): Buffer => Buffer.from(String(value));
  return {
    [REENTRY_HEADERS.run]: text(runId),
    [REENTRY_HEADERS.started]: text(startedAt),
    [REENTRY_HEADERS.reason]: text(reason.replaceAll('\0', ' ').slice(0, MAX_REASON_LENGTH)),
    [REENTRY_HEADERS.generation]: text(generation),
    [REENTRY_HEADERS.release]: text(releaseNo),
    [REENTRY_HEADERS.topic]: text(origin.topic),
    [REENTRY_HEADERS.partition]: text(origin.partition),
    [REENTRY_HEADERS.offset]: text(origin.offset),
  };
};

/** @throws PipelineError `undecidable` naming the header that is missing or wrong */
export const reentryOf = (headers: Headers): Reentry => {
  const text = (name: string): string => {
    const value = headers[name]?.toString();
    if (value === undefined || value === '')
      throw new PipelineError(
        'undecidable',
        `header ${name} is missing: again.* is written by millrace only`,
      );
    return value;
  };
  const count = (name: string): number => {
    const value = text(name);
    if (!/^\d{1,15}$/.test(value))
      throw new PipelineError(
        'undecidable',
        `header ${name} is ${JSON.stringify(value.slice(0, 40))}, not a count`,
      );
    return Number(value);
  };
  return {
    runId: text(REENTRY_HEADERS.run),
    startedAt: count(REENTRY_HEADERS.started),
    reason: headers[REENTRY_HEADERS.reason]?.toString() ?? '',
    generation: count(REENTRY_HEADERS.generation),
    releaseNo: count(REENTRY_HEADERS.release),
    origin: {
      topic: text(REENTRY_HEADERS.topic),
      partition: count(REENTRY_HEADERS.partition),
      offset: count(REENTRY_HEADERS.offset),
    },
  };
};
