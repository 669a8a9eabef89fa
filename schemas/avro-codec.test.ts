import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type AvroNode, readAvscFiles, selfContained } from './avsc-files.js';
import { PipelineError } from './error.js';
import type {
  BudgetReserved,
  MessageDeduped,
  MessageRequest,
  MessageRouted,
} from './generated/records.js';
import type { Codec } from './record.js';
import { recordSchemas } from './record-schemas.js';
import { RECORD_NAMES } from './record-types.js';
import { arbitraryRecord } from './testing/arbitrary-record.js';
import { memoryCodecs, openCodecs } from './topic-codecs.js';
import type { RegisteredSchema } from './writer-schemas.js';

const codecs = memoryCodecs();
const requests = codecs.of('MessageRequest', 'ingest.p0');
const deduped = codecs.of('MessageDeduped', 'deduped.p0');
const reserved = codecs.of('BudgetReserved', 'reserved.p0');
const routed = codecs.of('MessageRouted', 'routed.sms.p0');

const codeOf = (attempt: () => unknown): string => {
  try {
    attempt();
  } catch (error) {
    return error instanceof PipelineError ? error.code : `not ours: ${String(error)}`;
  }
  return 'none';
};

/** The same value in new objects, without kept bytes. */
const fresh = <V>(value: V): V => structuredClone(value);

const example = fc.sample(arbitraryRecord('MessageRouted'), {
  numRuns: 1,
  seed: 7,
})[0] as MessageRouted;

describe('every record', () => {
  test.each(RECORD_NAMES)('%s comes back as it was written', (name) => {
    const codec: Codec<unknown> = codecs.of(name, 'any') as Codec<unknown>;
    fc.assert(
      fc.property(arbitraryRecord(name), (value) => {
        const bytes = codec.encode(fresh(value));
        expect(codec.decode(bytes)).toEqual(value);
        expect(codec.encode(fresh(value))).toEqual(bytes);
      }),
      { numRuns: 60 },
    );
  });

  test.each(RECORD_NAMES)(
    '%s cut off anywhere is never a value, nor is one with bytes after it',
    (name) => {
      const codec: Codec<unknown> = codecs.of(name, 'any') as Codec<unknown>;
      const [value] = fc.sample(arbitraryRecord(name), { numRuns: 1, seed: 11 });
      const bytes = codec.encode(value);
      for (let length = 5; length < bytes.length; length++)
        expect(codeOf(() => codec.decode(bytes.subarray(0, length)))).toBe('undecodable');
      expect(codeOf(() => codec.decode(Buffer.concat([bytes, Buffer.of(0)])))).toBe('undecodable');
    },
  );
});

describe('appending to kept bytes', () => {
  test('a later record equals its full encoding, byte for byte', () => {
    fc.assert(
      fc.property(arbitraryRecord('MessageRouted'), (value) => {
        const arrived = requests.encode(fresh(value.reserved.deduped.request));
        const request: MessageRequest = requests.decode(arrived);
        const first: MessageDeduped = { ...value.reserved.deduped, request };
        const second: BudgetReserved = { ...value.reserved, deduped: first };
        const third: MessageRouted = { ...value, reserved: second };
        expect(deduped.encode(first)).toEqual(deduped.encode(fresh(first)));
        expect(reserved.encode(second)).toEqual(reserved.encode(fresh(second)));
        expect(routed.encode(third)).toEqual(routed.encode(fresh(value)));
      }),
      { numRuns: 100 },
    );
  });

  test('bytes that we would never write ourselves are passed on untouched', () => {
    const value = { ...fresh(example.reserved.deduped.request), labels: {}, expiresAt: null };
    const bytes = requests.encode(value);
    // The empty map as an overlong zero: legal, but nobody writes it so.
    const odd = Buffer.concat([bytes.subarray(0, -1), Buffer.of(0x80, 0x00)]);
    const request = requests.decode(odd);
    expect(request).toEqual(value);
    const next = deduped.encode({ request, generation: 0, key: 'k', dedupedAt: 1 });
    expect(next.subarray(5, odd.length)).toEqual(odd.subarray(5));
    expect(deduped.decode(next).request).toEqual(value);
  });

  test('a changed copy does not inherit the bytes of its original', () => {
    const request = requests.decode(requests.encode(fresh(example.reserved.deduped.request)));
    const changed = { ...request, templateId: 'another' };
    const next = { request: changed, generation: 0, key: 'k', dedupedAt: 1 };
    expect(deduped.decode(deduped.encode(next)).request.templateId).toBe('another');
  });

  test('a record parked whole is copied too, and a retried one keeps its reservation', () => {
    const parked = codecs.of('Parked', 'parked.p0');
    const arrived = routed.decode(routed.encode(fresh(example)));
    const parking = {
      deduped: null,
      routed: arrived,
      until: 5,
      why: 'breaker',
      detail: '',
      parkedAt: 4,
    } as const;
    expect(parked.encode(parking)).toEqual(parked.encode(fresh(parking)));
    const retried = { ...arrived, attempt: 2, dueAt: 9 };
    expect(routed.encode(retried)).toEqual(routed.encode(fresh(retried)));
  });

  test('frozen values encode as others do', () => {
    const request = Object.freeze(fresh(example.reserved.deduped.request));
    expect(requests.encode(request)).toEqual(requests.encode(fresh(request)));
  });
});

describe('money', () => {
  test.each([0n, 2n ** 53n + 1n, -(2n ** 53n) - 1n, 2n ** 63n - 1n, -(2n ** 63n)])(
    '%s is exact',
    (cashMicros) => {
      const value = { ...fresh(example.reserved), cashMicros };
      expect(reserved.decode(reserved.encode(value)).cashMicros).toBe(cashMicros);
    },
  );

  test('beyond 64 bits it is refused, without quoting the record', () => {
    const value = { ...fresh(example.reserved), cashMicros: 2n ** 63n };
    expect(() => reserved.encode(value)).toThrow(
      'BudgetReserved does not fit its schema at cashMicros',
    );
    expect(codeOf(() => reserved.encode(value))).toBe('unencodable');
  });
});

describe('bad values', () => {
  const bytes = requests.encode(fresh(example.reserved.deduped.request));

  test.each([
    ['null', null, 'tombstone'],
    ['empty', Buffer.alloc(0), 'tombstone'],
    ['shorter than a frame', Buffer.of(0, 0, 0, 1), 'not_framed'],
    ['another magic byte', Buffer.concat([Buffer.of(1), bytes.subarray(1)]), 'not_framed'],
    ['JSON', Buffer.from('{"messageId":"x"}'), 'not_framed'],
    ['a frame without a body', bytes.subarray(0, 5), 'undecodable'],
  ])('%s', (_what, value, code) => {
    expect(codeOf(() => requests.decode(value as Buffer))).toBe(code);
  });

  test('an array that claims a million million items is refused at once', () => {
    const [value] = fc.sample(arbitraryRecord('MessageRequest'), { numRuns: 1, seed: 3 });
    if (value === undefined) throw new Error('no sample');
    const before = requests.encode({ ...fresh(value), channels: [], units: null });
    const marked = requests.encode({ ...fresh(value), channels: ['x'], units: null });
    const at = before.findIndex((byte, index) => byte !== marked[index]);
    const claim = Buffer.of(0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10);
    const poison = Buffer.concat([before.subarray(0, at), claim, Buffer.alloc(50)]);
    expect(codeOf(() => requests.decode(poison))).toBe('undecodable');
  });

  test('random damage ends in a value or in undecodable, and soon', () => {
    const projection = codecs.project('MessageRouted', 'routed.sms.p0', ['routedAt']);
    const whole = routed.encode(fresh(example));
    const damage = fc.array(fc.tuple(fc.nat(whole.length - 6), fc.nat(255)), {
      minLength: 1,
      maxLength: 6,
    });
    fc.assert(
      fc.property(damage, (changes) => {
        const damaged = Buffer.from(whole);
        for (const [at, byte] of changes) damaged[at + 5] = byte;
        expect(['none', 'undecodable']).toContain(codeOf(() => routed.decode(damaged)));
        expect(['none', 'undecodable']).toContain(codeOf(() => projection.decode(damaged)));
      }),
      { numRuns: 3_000, interruptAfterTimeLimit: 20_000, markInterruptAsFailure: true },
    );
  });
});

describe('projection', () => {
  const feedback = codecs.of('DeliveryFeedback', 'feedback');
  const some = codecs.project('DeliveryFeedback', 'feedback', ['tenantId', 'settlement', 'state']);

  test('reads only what it names', () => {
    fc.assert(
      fc.property(arbitraryRecord('DeliveryFeedback'), (value) => {
        const { tenantId, settlement, state } = value;
        expect(some.decode(feedback.encode(value))).toEqual({ tenantId, settlement, state });
      }),
      { numRuns: 60 },
    );
  });

  test('cannot write, as the rest would be lost', () => {
    const [value] = fc.sample(arbitraryRecord('DeliveryFeedback'), { numRuns: 1, seed: 1 });
    expect(codeOf(() => some.encode(value as never))).toBe('unencodable');
  });
});

describe('other writers', () => {
  const text = recordSchemas().textOf('MessageRequest');
  const node = selfContained('MessageRequest', readAvscFiles());
  const fields = node.fields ?? [];
  const OURS = 1;

  /** A registry of these schemas, from id 10 on. */
  const opened = async (others: readonly (RegisteredSchema | string)[]) => {
    const made = await openCodecs(
      {
        idOf: () => Promise.resolve(OURS),
        schemaById: (id) => {
          const schema = others[id - 10];
          if (schema === undefined) return Promise.resolve(null);
          return Promise.resolve(
            typeof schema === 'string' ? { kind: 'AVRO', text: schema, references: [] } : schema,
          );
        },
      },
      [
        { topic: 'ingest.p0', record: 'MessageRequest' },
        { topic: 'deduped.p0', record: 'MessageDeduped' },
      ],
    );
    return {
      codec: made.of('MessageRequest', 'ingest.p0'),
      deduped: made.of('MessageDeduped', 'deduped.p0'),
      prepare: made.prepare,
    };
  };
  const withId = (bytes: Buffer, id: number): Buffer => {
    const copy = Buffer.from(bytes);
    copy.writeUInt32BE(id, 1);
    return copy;
  };
  const value: MessageRequest = { ...fresh(example.reserved.deduped.request), labels: {} };
  const bytes = requests.encode(fresh(value));
  const schemaWith = (change: Partial<AvroNode>): string => JSON.stringify({ ...node, ...change });

  test("Java's avro.java.string under another id is read directly, and appended to", async () => {
    const java = text.replaceAll('"string"', '{"type":"string","avro.java.string":"String"}');
    const { codec, deduped: next, prepare } = await opened([java]);
    const arrived = withId(bytes, 10);
    await prepare([arrived]);
    const request = codec.decode(arrived);
    expect(request).toEqual(value);
    const record = { request, generation: 0, key: 'k', dedupedAt: 1 };
    expect(next.encode(record)).toEqual(next.encode(fresh(record)));
    expect(next.encode(record).subarray(5, 5 + bytes.length - 5)).toEqual(bytes.subarray(5));
  });

  test('an older writer, without a field that has a default', async () => {
    const older = fields.filter((field) => field.name !== 'labels');
    const { codec, deduped: next, prepare } = await opened([schemaWith({ fields: older })]);
    const arrived = withId(bytes.subarray(0, -1), 10);
    await prepare([arrived]);
    const request = codec.decode(arrived);
    expect(request).toEqual(value);
    // Not in our writer schema: it must be encoded again, never appended to.
    const record = { request, generation: 0, key: 'k', dedupedAt: 1 };
    expect(next.encode(record)).toEqual(next.encode(fresh(record)));
  });

  test('a newer writer, with a field that we do not know', async () => {
    const newer = [...fields, { name: 'mood', type: ['null', 'string'] as const, default: null }];
    const { codec, prepare } = await opened([schemaWith({ fields: newer })]);
    const arrived = withId(Buffer.concat([bytes, Buffer.of(2, 4, 0x6f, 0x6b)]), 10);
    await prepare([arrived]);
    expect(codec.decode(arrived)).toEqual(value);
  });

  test.each([
    ['another record', '{"type":"record","name":"Other","fields":[]}'],
    ['a required field missing', schemaWith({ fields: fields.slice(1) })],
    ['broken JSON', '{'],
    ['JSON Schema', { kind: 'JSON', text: '{"type":"object"}', references: [] }],
  ])('a schema that does not resolve to ours is unresolvable: %s', async (_what, schema) => {
    const { codec, prepare } = await opened([schema]);
    await prepare([withId(bytes, 10)]);
    expect(codeOf(() => codec.decode(withId(bytes, 10)))).toBe('unresolvable_schema');
  });

  test('a writer that references its named types elsewhere', async () => {
    const recipient = fields.find((field) => field.name === 'recipient')?.type;
    const referring = fields.map((field) =>
      field.name === 'recipient' ? { ...field, type: 'millrace.Recipient' } : field,
    );
    const { codec, prepare } = await opened([
      {
        kind: 'AVRO',
        text: schemaWith({ fields: referring }),
        references: [JSON.stringify(recipient)],
      },
    ]);
    await prepare([withId(bytes, 10)]);
    expect(codec.decode(withId(bytes, 10))).toEqual(value);
  });

  test('a schema that the registry does not have is unknown, and asked for again later', async () => {
    const { codec, prepare } = await opened([]);
    await prepare([withId(bytes, 10), null, Buffer.of(1, 2, 3)]);
    expect(codeOf(() => codec.decode(withId(bytes, 10)))).toBe('unknown_schema');
  });

  test('an id that nobody prepared is our own defect, never a dead letter', async () => {
    const { codec } = await opened([]);
    expect(codeOf(() => codec.decode(withId(bytes, 10)))).toBe('defect');
  });
});
