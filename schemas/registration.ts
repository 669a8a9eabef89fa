import { PipelineError } from './error.js';
import { recordSchemas } from './record-schemas.js';
import { compatibilityOf } from './record-types.js';
import type { SchemaRegistry } from './registry.js';
import { type TopicSchema, subjectOf } from './topic-codecs.js';

export interface Registration {
  readonly subject: string;
  readonly id: number;
  /** False: this very schema was there before. */
  readonly added: boolean;
}

/** A subject that is not what this release needs; `fix` says what a person does about it. */
export interface SchemaDrift {
  readonly subject: string;
  readonly found: 'missing' | 'not-latest' | 'compatibility';
  readonly detail: string;
  readonly fix: string;
}

const REGISTER = 'run `millrace schemas register`';

/** Requests under way at once: some hundred subjects, four requests each. */
const AT_ONCE = 8;

const inSlices = async <T, R>(all: readonly T[], each: (one: T) => Promise<R>): Promise<R[]> => {
  const results: R[] = [];
  for (let first = 0; first < all.length; first += AT_ONCE)
    results.push(...(await Promise.all(all.slice(first, first + AT_ONCE).map(each))));
  return results;
};

/**
 * Registers our schema under every topic's subject with the contract's compatibility; deletes nothing.
 * @throws PipelineError `schema_incompatible` naming the subject; others may be registered by then.
 */
export const registerSchemas = (
  registry: SchemaRegistry,
  topics: readonly TopicSchema[],
): Promise<readonly Registration[]> => {
  const schemas = recordSchemas();
  return inSlices(topics, async ({ topic, record, compatibility }) => {
    const subject = subjectOf(topic);
    const schema = schemas.textOf(record);
    const wanted = compatibility ?? compatibilityOf(record);
    const present = await registry.idOf(subject, schema);
    // An existing subject must be judged by the contract's rule, whatever someone set it to meanwhile.
    if (present === null && (await registry.latest(subject)) !== null)
      await registry.setCompatibility(subject, wanted);
    const id = present ?? (await registerOne(registry, subject, schema));
    // Apicurio knows a subject's level only once the subject exists.
    if ((await registry.compatibility(subject)) !== wanted)
      await registry.setCompatibility(subject, wanted);
    return { subject, id, added: present === null };
  });
};

const registerOne = async (
  registry: SchemaRegistry,
  subject: string,
  schema: string,
): Promise<number> => {
  try {
    return await registry.register(subject, schema);
  } catch (cause) {
    if (!(cause instanceof PipelineError) || cause.code !== 'schema_incompatible') throw cause;
    throw new PipelineError('schema_incompatible', `${subject}: ${cause.message}`, cause);
  }
};

/** Where the registry differs from this release, for `doctor`; empty: nowhere. */
export const schemaDrift = async (
  registry: SchemaRegistry,
  topics: readonly TopicSchema[],
): Promise<readonly SchemaDrift[]> => {
  const schemas = recordSchemas();
  const drifts = await inSlices(topics, (topic) =>
    driftOf(registry, topic, schemas.textOf(topic.record)),
  );
  return drifts.flat();
};

const driftOf = async (
  registry: SchemaRegistry,
  { topic, record, compatibility }: TopicSchema,
  schema: string,
): Promise<SchemaDrift[]> => {
  const subject = subjectOf(topic);
  const ours = await registry.idOf(subject, schema);
  if (ours === null) {
    const detail = `this release's ${record} is not registered`;
    return [{ subject, found: 'missing', detail, fix: REGISTER }];
  }
  const drifts: SchemaDrift[] = [];
  const latest = await registry.latest(subject);
  if (latest !== null && latest.id !== ours)
    drifts.push({
      subject,
      found: 'not-latest',
      detail: `version ${latest.version} (id ${latest.id}) is newer than this release's id ${ours}`,
      fix: 'expected while a newer release is rolled out; otherwise find out who registered it',
    });
  const level = await registry.compatibility(subject);
  const wanted = compatibility ?? compatibilityOf(record);
  if (level !== wanted)
    drifts.push({
      subject,
      found: 'compatibility',
      detail: `compatibility is ${level ?? 'not set'}, not ${wanted}`,
      fix: REGISTER,
    });
  return drifts;
};
