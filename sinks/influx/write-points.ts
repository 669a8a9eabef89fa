import { InfluxDB, type Point } from '@influxdata/influxdb-client';
import { writeError } from './influx-error.js';
import { DEFAULT_TIMEOUT_MS, type InfluxSettings } from './settings.js';

/** Lines a request holds at most: 2.x suggests 5,000, and a window's line is a long one. */
const LINES_A_REQUEST = 1_000;

export type WritePoints = (points: readonly Point[]) => Promise<void>;

/**
 * Writes points in bounded requests and answers when all are stored. It keeps nothing back and retries nothing: a
 * failure goes to the sink's task, which waits, backs off and brings the same records again; until then they wait in
 * Kafka, not in memory.
 * @throws PipelineError influx_unavailable, influx_refused
 */
export const writePoints = (settings: InfluxSettings): WritePoints => {
  const { url, token, ca, org, bucket, timeoutMs = DEFAULT_TIMEOUT_MS } = settings;
  const client = new InfluxDB({
    url,
    token,
    timeout: timeoutMs,
    ...(ca !== undefined && { transportOptions: { ca } }),
  });
  return async (points) => {
    for (let from = 0; from < points.length; from += LINES_A_REQUEST) {
      const api = client.getWriteApi(org, bucket, 'ms', {
        // Never sent by count or timer, only by flush below: the client swallows the error of any other request.
        batchSize: LINES_A_REQUEST + 1,
        flushInterval: 0,
        maxRetries: 0,
        // Without it the client writes the error to the console.
        writeFailed: (error) => Promise.reject(error),
      });
      api.writePoints([...points.slice(from, from + LINES_A_REQUEST)]);
      try {
        await api.flush();
      } catch (cause) {
        throw writeError(cause);
      }
    }
  };
};
