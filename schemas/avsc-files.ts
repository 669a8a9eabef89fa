import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { projectRoot } from './root.js';

/** The subset of Avro's JSON that our .avsc files use. */
export type AvroSchema = string | readonly AvroSchema[] | AvroNode;
export interface AvroNode {
  readonly type: AvroSchema;
  readonly name?: string;
  readonly namespace?: string;
  readonly doc?: string;
  readonly logicalType?: string;
  readonly fields?: readonly AvroField[];
  readonly symbols?: readonly string[];
  readonly items?: AvroSchema;
  readonly values?: AvroSchema;
  readonly default?: unknown;
}
export interface AvroField {
  readonly name: string;
  readonly type: AvroSchema;
  readonly doc?: string;
  readonly default?: unknown;
}

/** Every named type of schemas/avro by its name without namespace, sorted. */
export const readAvscFiles = (): ReadonlyMap<string, AvroNode> => {
  const folder = path.join(projectRoot(), 'schemas', 'avro');
  const named = readdirSync(folder)
    .filter((file) => file.endsWith('.avsc'))
    .sort()
    .map((file) => JSON.parse(readFileSync(path.join(folder, file), 'utf8')) as AvroNode);
  return new Map(named.map((node) => [node.name ?? '', node]));
};

const isList = (schema: AvroSchema): schema is readonly AvroSchema[] => Array.isArray(schema);

/** One self-contained schema: each name is defined where it is first met, as registries want it. */
export const selfContained = (
  name: string,
  files: ReadonlyMap<string, AvroNode>,
  defined = new Set<string>(),
): AvroNode => {
  const inline = (schema: AvroSchema): AvroSchema => {
    if (typeof schema === 'string') {
      const known = files.get(schema.replace(/^millrace\./, ''));
      return known === undefined ? schema : node(known);
    }
    return isList(schema) ? schema.map(inline) : node(schema);
  };
  const node = (schema: AvroNode): AvroNode | string => {
    if (schema.name !== undefined) {
      const fullName = `${schema.namespace ?? 'millrace'}.${schema.name}`;
      if (defined.has(fullName)) return fullName;
      defined.add(fullName);
    }
    return {
      ...schema,
      ...(schema.fields && {
        fields: schema.fields.map((field) => ({ ...field, type: inline(field.type) })),
      }),
      ...(schema.items !== undefined && { items: inline(schema.items) }),
      ...(schema.values !== undefined && { values: inline(schema.values) }),
    };
  };
  const root = files.get(name);
  if (root === undefined) throw new Error(`schemas/avro has no record ${name}`);
  return node(root) as AvroNode;
};
