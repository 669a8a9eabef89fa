import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type AvroNode, type AvroSchema, readAvscFiles } from '../schemas/avsc-files.js';
import { projectRoot } from '../schemas/root.js';

/** Fields whose strings are branded, so that one id never passes for another. */
const BRANDED: Readonly<Record<string, string>> = {
  messageId: 'MessageId',
  firstMessageId: 'MessageId',
  tenantId: 'TenantId',
};

const PRIMITIVES: Readonly<Record<string, string>> = {
  string: 'string',
  boolean: 'boolean',
  int: 'number',
  long: 'number',
  double: 'number',
  null: 'null',
  bytes: 'Buffer',
};

const typeOf = (schema: AvroSchema, field: string): string => {
  if (typeof schema === 'string') {
    if (schema === 'string') return BRANDED[field] ?? 'string';
    return PRIMITIVES[schema] ?? schema.replace(/^millrace\./, '');
  }
  if (Array.isArray(schema)) {
    const members = schema.map((one: AvroSchema) => typeOf(one, field));
    return [
      ...members.filter((one) => one !== 'null'),
      ...members.filter((one) => one === 'null'),
    ].join(' | ');
  }
  const node = schema as AvroNode;
  if (node.logicalType === 'timestamp-millis') return 'EpochMs';
  if (node.logicalType === 'micros') return 'Micros';
  if (node.logicalType === 'bigint') return 'bigint';
  if (node.type === 'array') return `readonly ${typeOf(node.items ?? 'null', field)}[]`;
  if (node.type === 'map')
    return `Readonly<Record<string, ${typeOf(node.values ?? 'null', field)}>>`;
  if (node.name !== undefined) return node.name;
  return typeOf(node.type, field);
};

const declare = (node: AvroNode): string[] => {
  const doc = `/** ${node.doc ?? ''} */`;
  if (node.type === 'enum') {
    const symbols = (node.symbols ?? []).map((symbol) => `'${symbol}'`).join(', ');
    const values = `${(node.name ?? '').replace(/(?<!^)[A-Z]/g, (c) => `_${c}`).toUpperCase()}S`;
    return [
      doc,
      `export const ${values} = [${symbols}] as const;`,
      `export type ${node.name ?? ''} = (typeof ${values})[number];`,
      '',
    ];
  }
  const nested = (node.fields ?? []).flatMap((field) => {
    const inner =
      typeof field.type === 'object' && !Array.isArray(field.type)
        ? (field.type as AvroNode)
        : undefined;
    return inner?.name === undefined ? [] : declare(inner);
  });
  return [
    ...nested,
    doc,
    `export interface ${node.name ?? ''} {`,
    ...(node.fields ?? []).flatMap((field) => [
      `  /** ${field.doc ?? ''} */`,
      `  readonly ${field.name}: ${typeOf(field.type, field.name)};`,
    ]),
    '}',
    '',
  ];
};

const generate = (): string =>
  [
    '// Made from schemas/avro by `npm run schemas:generate`. Never edited: tests compare.',
    "import type { EpochMs, MessageId, Micros, TenantId } from '../brand.js';",
    '',
    ...[...readAvscFiles().values()].flatMap(declare),
  ].join('\n');

const file = path.join(projectRoot(), 'schemas', 'generated', 'records.ts');
const fresh = generate();
if (process.argv.includes('--check')) {
  if (readFileSync(file, 'utf8') !== fresh) {
    console.error(
      'schemas/generated/records.ts is not what schemas/avro says: npm run schemas:generate',
    );
    process.exitCode = 1;
  } else console.log('schemas/generated/records.ts is up to date');
} else {
  writeFileSync(file, fresh);
  console.log(`wrote ${path.relative(process.cwd(), file)}`);
}
