import { type Response, fetch } from 'undici';
import { influxError } from './influx-error.js';
import { DEFAULT_TIMEOUT_MS, type InfluxSettings, databaseOf, dispatcherOf } from './settings.js';

/** One series of an InfluxQL answer; `time` is in milliseconds. */
export interface InfluxSeries {
  readonly name: string;
  readonly tags?: Readonly<Record<string, string>>;
  readonly columns: readonly string[];
  readonly values: readonly (readonly (string | number | boolean | null)[])[];
}

interface Answer {
  readonly error?: string;
  readonly results?: readonly {
    readonly series?: readonly InfluxSeries[];
    readonly error?: string;
  }[];
}

export type InfluxQl = (query: string) => Promise<readonly InfluxSeries[]>;

/**
 * Asks InfluxQL, which 1.x, 2.x and 3.x all speak.
 * @throws PipelineError influx_unavailable, influx_refused
 */
export const influxQl = (settings: InfluxSettings): InfluxQl => {
  const { url, token, bucket, timeoutMs = DEFAULT_TIMEOUT_MS } = settings;
  const base = `${url.replace(/\/+$/, '')}/query`;
  const dispatcher = dispatcherOf(settings);
  return async (query) => {
    const parameters = new URLSearchParams({ ...databaseOf(bucket), epoch: 'ms', q: query });
    let response: Response;
    let answer: Answer;
    try {
      response = await fetch(base, {
        method: 'POST',
        headers: { authorization: `Token ${token}` },
        body: parameters,
        ...(dispatcher !== undefined && { dispatcher }),
        signal: AbortSignal.timeout(timeoutMs),
      });
      answer = (await response.json()) as Answer;
    } catch (cause) {
      throw influxError('answer a query', null, cause);
    }
    const error = answer.error ?? answer.results?.find((result) => result.error)?.error;
    if (!response.ok || error !== undefined)
      throw influxError(
        'answer a query',
        response.ok ? 400 : response.status,
        new Error(error ?? response.statusText),
      );
    return answer.results?.flatMap(({ series = [] }) => series) ?? [];
  };
};
