import { Agent, type Dispatcher, request } from 'undici';
import { PipelineError, asError } from './error.js';
import { type Compatibility } from './record-types.js';
import { tlsRefusal } from './tls-refusal.js';
import type { RegisteredSchema } from './writer-schemas.js';

/** Where the registry is and how we prove who we are. All texts are contents, not file names. */
export interface RegistryOptions {
  /** Base of the Confluent API, e.g. http://127.0.0.1:29081/apis/ccompat/v7. */
  readonly url: string;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** PEM of the authority to trust instead of the system's. */
  readonly ca?: string | undefined;
  /** PEM of a client certificate and its key, for mutual TLS. */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** Of one request, connecting included. */
  readonly deadlineMs?: number | undefined;
}

export interface SubjectVersion {
  readonly id: number;
  readonly version: number;
  readonly schema: string;
}

export interface Verdict {
  readonly compatible: boolean;
  /** In the registry's words; empty where compatible. */
  readonly reason: string;
}

/**
 * A Confluent-compatible registry. Every method throws PipelineError: `registry_unavailable` where it does not answer
 * in time or is in trouble itself, `config_invalid` where it refuses us or is no registry at all,
 * `schema_incompatible` where it refuses a schema.
 *
 * Written on plain HTTP: the usual client has no deadlines, retries on its own, sets a subject's compatibility only
 * the first time, and turns "no such schema" and "no such address" into one error, of which the second would send a
 * whole topic to the dead letters.
 */
export interface SchemaRegistry {
  /** Registers under a subject and answers the id; the same schema again answers the same id. */
  readonly register: (subject: string, schema: string) => Promise<number>;
  readonly setCompatibility: (subject: string, level: Compatibility) => Promise<void>;
  /** The subject's own level; null where it has none or does not exist. */
  readonly compatibility: (subject: string) => Promise<string | null>;
  /** The id of this very schema under the subject; null where it is not registered there. */
  readonly idOf: (subject: string, schema: string) => Promise<number | null>;
  readonly latest: (subject: string) => Promise<SubjectVersion | null>;
  /** Against all versions that the subject's level names; a new subject takes anything. */
  readonly check: (subject: string, schema: string) => Promise<Verdict>;
  /** null: the registry says that there is none. */
  readonly schemaById: (id: number) => Promise<RegisteredSchema | null>;
  readonly close: () => Promise<void>;
}

const DEADLINE_MS = 15_000;
const CONTENT_TYPE = 'application/vnd.schemaregistry.v1+json';
/** Confluent's codes: subject, version, schema not found. A plain 404 means that this is no registry. */
const NOT_THERE: ReadonlySet<unknown> = new Set([40401, 40402, 40403, 40408]);

type Json = Readonly<Record<string, unknown>>;
type Ask = (method: 'GET' | 'POST' | 'PUT', path: string, body?: Json) => Promise<Json | null>;

const dispatcherOf = ({ url, ca, cert, key, deadlineMs = DEADLINE_MS }: RegistryOptions): Agent =>
  new Agent({
    connections: 8,
    connect: {
      timeout: deadlineMs,
      ...(new URL(url).protocol === 'https:' && {
        ...(ca !== undefined && { ca }),
        ...(cert !== undefined && { cert }),
        ...(key !== undefined && { key }),
      }),
    },
  });

const parse = (text: string): Json => {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Json) : {};
  } catch {
    return {};
  }
};

const unavailable = (base: string, why: string, cause?: unknown): PipelineError =>
  new PipelineError('registry_unavailable', `schema registry at ${base}: ${why}`, cause);

/** What an answer that is not 2xx means; null: what was asked for is not there. */
const refusal = (base: string, status: number, answer: Json): PipelineError | null => {
  const words = typeof answer['message'] === 'string' ? answer['message'] : `HTTP ${status}`;
  if (status === 404 && NOT_THERE.has(answer['error_code'])) return null;
  if (status === 409 || status === 422) return new PipelineError('schema_incompatible', words);
  if (status === 401 || status === 403)
    return new PipelineError(
      'config_invalid',
      `schema registry at ${base} refuses our credentials (HTTP ${status}). Check SCHEMA_REGISTRY_USERNAME and SCHEMA_REGISTRY_PASSWORD`,
    );
  if (status === 408 || status === 429 || status >= 500) return unavailable(base, words);
  return new PipelineError(
    'config_invalid',
    `${base} is no Confluent-compatible registry (HTTP ${status}: ${words}); check SCHEMA_REGISTRY_URL`,
  );
};

const asking = (options: RegistryOptions, dispatcher: Dispatcher): Ask => {
  const { username, password, deadlineMs = DEADLINE_MS } = options;
  const address = new URL(options.url);
  const user = username ?? decodeURIComponent(address.username);
  const secret = password ?? decodeURIComponent(address.password);
  address.username = '';
  address.password = '';
  const base = address.toString().replace(/\/+$/, '');
  const headers = {
    accept: `${CONTENT_TYPE}, application/json`,
    'content-type': CONTENT_TYPE,
    ...(user !== '' && {
      authorization: `Basic ${Buffer.from(`${user}:${secret}`).toString('base64')}`,
    }),
  };
  return async (method, path, body) => {
    let status: number;
    let text: string;
    try {
      const answer = await request(`${base}${path}`, {
        method,
        headers,
        dispatcher,
        body: body === undefined ? null : JSON.stringify(body),
        signal: AbortSignal.timeout(deadlineMs),
      });
      status = answer.statusCode;
      text = await answer.body.text();
    } catch (cause) {
      const tls = tlsRefusal(cause);
      if (tls !== null)
        throw new PipelineError(
          'config_invalid',
          `schema registry at ${base}: ${tls}. Check SCHEMA_REGISTRY_URL and SCHEMA_REGISTRY_CA_LOCATION`,
          cause,
        );
      throw unavailable(
        base,
        `no answer within ${deadlineMs} ms (${asError(cause).message})`,
        cause,
      );
    }
    const answer = parse(text);
    if (status >= 200 && status < 300) return answer;
    const error = refusal(base, status, answer);
    if (error === null) return null;
    throw error;
  };
};

const numberIn = (answer: Json, name: string): number => {
  const value = answer[name];
  if (typeof value === 'number') return value;
  throw new PipelineError('config_invalid', `the schema registry answered without ${name}`);
};
const textIn = (answer: Json, name: string): string => {
  const value = answer[name];
  if (typeof value === 'string') return value;
  throw new PipelineError('config_invalid', `the schema registry answered without ${name}`);
};

interface Reference {
  readonly subject: string;
  readonly version: number;
}
const referencesIn = (answer: Json): readonly Reference[] =>
  Array.isArray(answer['references']) ? (answer['references'] as Reference[]) : [];

export const schemaRegistry = (options: RegistryOptions): SchemaRegistry => {
  const dispatcher = dispatcherOf(options);
  const ask = asking(options, dispatcher);
  const pathOf = (subject: string) => `/subjects/${encodeURIComponent(subject)}`;

  /** Referenced schemas in the order in which they must be parsed, each once. */
  const referenced = async (answer: Json, met: Set<string>): Promise<string[]> => {
    const texts: string[] = [];
    for (const { subject, version } of referencesIn(answer)) {
      const key = `${subject} ${version}`;
      if (met.has(key)) continue;
      met.add(key);
      const one = await ask('GET', `${pathOf(subject)}/versions/${version}`);
      if (one === null) continue;
      texts.push(...(await referenced(one, met)), textIn(one, 'schema'));
    }
    return texts;
  };

  return {
    register: async (subject, schema) => {
      const answer = await ask('POST', `${pathOf(subject)}/versions`, { schema });
      return numberIn(answer ?? {}, 'id');
    },
    setCompatibility: async (subject, compatibility) => {
      await ask('PUT', `/config/${encodeURIComponent(subject)}`, { compatibility });
    },
    compatibility: async (subject) => {
      const answer = await ask('GET', `/config/${encodeURIComponent(subject)}`);
      return answer === null ? null : textIn(answer, 'compatibilityLevel');
    },
    idOf: async (subject, schema) => {
      const answer = await ask('POST', pathOf(subject), { schema });
      return answer === null ? null : numberIn(answer, 'id');
    },
    latest: async (subject) => {
      const answer = await ask('GET', `${pathOf(subject)}/versions/latest`);
      if (answer === null) return null;
      return {
        id: numberIn(answer, 'id'),
        version: numberIn(answer, 'version'),
        schema: textIn(answer, 'schema'),
      };
    },
    check: async (subject, schema) => {
      const path = `/compatibility${pathOf(subject)}/versions?verbose=true`;
      const answer = await ask('POST', path, { schema });
      const compatible = answer === null || answer['is_compatible'] === true;
      return {
        compatible,
        reason: compatible ? '' : JSON.stringify(answer['reason'] ?? answer['messages']),
      };
    },
    schemaById: async (id) => {
      const answer = await ask('GET', `/schemas/ids/${id}`);
      if (answer === null) return null;
      return {
        kind: typeof answer['schemaType'] === 'string' ? answer['schemaType'] : 'AVRO',
        text: textIn(answer, 'schema'),
        references: await referenced(answer, new Set()),
      };
    },
    close: () => dispatcher.close(),
  };
};
