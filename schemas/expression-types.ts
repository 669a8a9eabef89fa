import { type AvroNode, type AvroSchema, readAvscFiles } from './avsc-files.js';

/** A value of a schema as expressions see it. */
type Convert = (value: unknown) => unknown;

/** A schema's CEL type, and how a decoded value becomes one of it. */
export interface ExpressionType {
  readonly name: string;
  readonly convert: Convert;
}

/** A record's CEL type: its fields by name. */
export interface RecordExpressionType extends ExpressionType {
  readonly fields: Readonly<Record<string, string>>;
}

const same: Convert = (value) => value;

/** CEL's int is 64 bits and exact; its JavaScript form is bigint. Times and counts are decoded as number, money as bigint. */
const toInt: Convert = (value) => (typeof value === 'number' ? BigInt(Math.trunc(value)) : value);

const PRIMITIVES: Readonly<Record<string, ExpressionType>> = {
  null: { name: 'null', convert: same },
  boolean: { name: 'bool', convert: same },
  int: { name: 'int', convert: toInt },
  long: { name: 'int', convert: toInt },
  float: { name: 'double', convert: same },
  double: { name: 'double', convert: same },
  string: { name: 'string', convert: same },
};

/**
 * CEL types made from schemas/avro, so that an expression is checked against the fields that there are before it meets
 * a record. A field that may be absent has type dyn: it compares with null, and with values of its own type.
 */
export const expressionTypes = (): {
  readonly of: (record: string) => RecordExpressionType;
  /** All records met so far: each must be registered. */
  readonly records: () => readonly RecordExpressionType[];
} => {
  const files = readAvscFiles();
  const made = new Map<string, RecordExpressionType>();

  const node = (schema: AvroNode): ExpressionType => {
    const { type, items = 'null', values = 'null' } = schema;
    if (type === 'record') return of(schema.name ?? '');
    if (type === 'enum') return { name: 'string', convert: same };
    if (type === 'array') {
      const item = typeOf(items);
      return {
        name: `list<${item.name}>`,
        convert: (list) => (list as readonly unknown[]).map(item.convert),
      };
    }
    if (type === 'map') {
      const value = typeOf(values);
      return {
        name: `map<string, ${value.name}>`,
        convert: (map) =>
          Object.fromEntries(
            Object.entries(map as Readonly<Record<string, unknown>>).map(([key, one]) => [
              key,
              value.convert(one),
            ]),
          ),
      };
    }
    return typeOf(type);
  };

  const typeOf = (schema: AvroSchema): ExpressionType => {
    if (typeof schema === 'string') {
      const primitive = PRIMITIVES[schema];
      if (primitive !== undefined) return primitive;
      const found = files.get(schema.replace(/^millrace\./, ''));
      if (found === undefined) throw new Error(`schemas/avro has no type ${schema}`);
      return node(found);
    }
    if (!isUnion(schema)) return node(schema);
    const present = schema.filter((one) => one !== 'null').map(typeOf);
    const [only] = present;
    return {
      name: 'dyn',
      convert: (value) =>
        value === null || only === undefined || present.length > 1 ? value : only.convert(value),
    };
  };

  const of = (record: string): RecordExpressionType => {
    const known = made.get(record);
    if (known !== undefined) return known;
    const fields = (files.get(record)?.fields ?? []).map(
      (field) => [field.name, typeOf(field.type)] as const,
    );
    const type: RecordExpressionType = {
      name: record,
      fields: Object.fromEntries(fields.map(([name, field]) => [name, field.name])),
      convert: (value) => {
        const from = value as Readonly<Record<string, unknown>>;
        const to: Record<string, unknown> = {};
        for (const [name, field] of fields) to[name] = field.convert(from[name]);
        return to;
      },
    };
    made.set(record, type);
    return type;
  };

  return { of, records: () => [...made.values()] };
};

const isUnion = (schema: AvroSchema): schema is readonly AvroSchema[] => Array.isArray(schema);
