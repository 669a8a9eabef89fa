import { HttpError } from '@influxdata/influxdb-client';
import { PipelineError, asError } from '../../schemas/error.js';
import { tlsRefusal } from '../../schemas/tls-refusal.js';

/** Its message repeats the whole line that it refuses. */
const MOST_CHARACTERS = 300;

/** Statuses after which the same request may succeed: too many requests, and whatever the server blames itself for. */
const mayPass = (status: number): boolean => status === 429 || status === 408 || status >= 500;

/**
 * A failed request, as ours: `influx_unavailable` (the sink waits, windows wait in Kafka) or `influx_refused` (a
 * wrong token or bucket, or points that clash with stored types: written again they would be refused again).
 */
export const influxError = (what: string, status: number | null, cause: unknown): PipelineError => {
  const tls = tlsRefusal(cause);
  if (tls !== null)
    return new PipelineError(
      'influx_refused',
      `InfluxDB: ${tls}. Check INFLUX_URL and INFLUX_CA_LOCATION`,
      cause,
    );
  const message = asError(cause).message.trim().slice(0, MOST_CHARACTERS);
  return status === null || mayPass(status)
    ? new PipelineError('influx_unavailable', `InfluxDB cannot ${what} now: ${message}`, cause)
    : new PipelineError(
        'influx_refused',
        `InfluxDB refuses to ${what} (HTTP ${status}): ${message}. Check INFLUX_TOKEN, INFLUX_ORG and ` +
          'INFLUX_BUCKET; for a type conflict see docs/analysts.md, "Types stick"',
        cause,
      );
};

/** The client's own error for an answer carries the status; a connection's or a time-out's does not. */
export const writeError = (cause: unknown): PipelineError =>
  influxError('write points', cause instanceof HttpError ? cause.statusCode : null, cause);
