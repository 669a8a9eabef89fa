import fc from 'fast-check';
import { type AvroNode, type AvroSchema, readAvscFiles, selfContained } from '../avsc-files.js';
import type { RecordName, RecordTypes } from '../record-types.js';

const isList = (schema: AvroSchema): schema is readonly AvroSchema[] => Array.isArray(schema);

const int64 = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.bigInt({ min: -1_000_000n, max: 1_000_000_000n }),
  // Where doubles, and avsc's arithmetic on them, end.
  fc.constantFrom(...[51n, 52n, 53n, 54n, 62n].flatMap((bits) => [2n ** bits, -(2n ** bits) - 1n])),
);
const text = fc.string({ unit: 'grapheme', maxLength: 40 });

/** Values that fit a schema, at the edges of each type too. */
const arbitrary = (schema: AvroSchema, named: Map<string, AvroNode>): fc.Arbitrary<unknown> => {
  if (isList(schema)) return fc.oneof(...schema.map((branch) => arbitrary(branch, named)));
  if (typeof schema !== 'string') return arbitraryNode(schema, named);
  switch (schema) {
    case 'null':
      return fc.constant(null);
    case 'string':
      return text;
    case 'boolean':
      return fc.boolean();
    case 'int':
      return fc.integer();
    case 'long':
      return fc.maxSafeInteger();
    case 'double':
      return fc.double({ noNaN: true });
    default: {
      const known = named.get(schema);
      if (known === undefined) throw new Error(`no arbitrary for ${schema}`);
      return arbitraryNode(known, named);
    }
  }
};

const arbitraryNode = (node: AvroNode, named: Map<string, AvroNode>): fc.Arbitrary<unknown> => {
  if (node.name !== undefined) named.set(`${node.namespace ?? 'millrace'}.${node.name}`, node);
  switch (node.type) {
    case 'record':
      return fc.record(
        Object.fromEntries(
          (node.fields ?? []).map((field) => [field.name, arbitrary(field.type, named)]),
        ),
        { noNullPrototype: true },
      );
    case 'enum':
      return fc.constantFrom(...(node.symbols ?? []));
    case 'array':
      return fc.array(arbitrary(node.items ?? 'null', named), { maxLength: 5 });
    case 'map':
      return fc.dictionary(text, arbitrary(node.values ?? 'null', named), {
        maxKeys: 5,
        noNullPrototype: true,
      });
    default:
      return node.logicalType === 'micros' || node.logicalType === 'bigint'
        ? int64
        : arbitrary(node.type, named);
  }
};

/** Any value of a record of schemas/avro, for property tests. */
export const arbitraryRecord = <N extends RecordName>(record: N): fc.Arbitrary<RecordTypes[N]> =>
  arbitraryNode(selfContained(record, readAvscFiles()), new Map()) as fc.Arbitrary<RecordTypes[N]>;
