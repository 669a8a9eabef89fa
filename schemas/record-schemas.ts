import type { Type } from 'avsc';
import { avscType } from './avsc-types.js';
import { type AvroNode, readAvscFiles, selfContained } from './avsc-files.js';
import type { RecordName } from './record-types.js';

/** Records that later ones embed as their first field (the public contract, "Records"). */
const EMBEDDED: ReadonlySet<string> = new Set([
  'millrace.MessageRequest',
  'millrace.MessageDeduped',
  'millrace.BudgetReserved',
  'millrace.MessageRouted',
]);

/** Our own schemas: as text for the registry, as types for the codecs. */
export interface RecordSchemas {
  /** Self-contained JSON, as registered. */
  readonly textOf: (record: RecordName) => string;
  /** Built once; one identity per record, which kept bytes rely on. */
  readonly typeOf: (record: RecordName) => Type;
  /** The record with only some of its fields; a resolver into it skips the rest. */
  readonly projectionOf: (record: RecordName, fields: readonly string[]) => Type;
}

export const recordSchemas = (): RecordSchemas => {
  const files = readAvscFiles();
  const named: Record<string, Type> = {};
  const nodeOf = (record: string): AvroNode => selfContained(record, files);
  const typeOf = (record: string): Type =>
    named[`millrace.${record}`] ?? avscType(nodeOf(record), named, EMBEDDED);
  for (const name of files.keys()) typeOf(name);
  return {
    textOf: (record) => JSON.stringify(nodeOf(record)),
    typeOf,
    projectionOf: (record, fields) => {
      const node = nodeOf(record);
      const missing = fields.filter((name) => !node.fields?.some((field) => field.name === name));
      if (missing.length > 0) throw new Error(`${record} has no field ${missing.join(', ')}`);
      // Named types that a dropped field would have defined are taken from the whole record.
      const others = { ...named };
      Reflect.deleteProperty(others, `millrace.${record}`);
      const kept = node.fields?.filter((field) => fields.includes(field.name)) ?? [];
      return avscType({ ...node, fields: kept }, others, EMBEDDED);
    },
  };
};
