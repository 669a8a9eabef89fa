import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { WireReader, WireWriter } from './bytes.js';
import { scramClient } from './scram.js';

test('what is written in the flexible encoding is read back, whatever its length', () => {
  fc.assert(
    fc.property(
      fc.string({ maxLength: 300 }),
      fc.array(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), { maxLength: 300 }),
      (text, numbers) => {
        const reader = new WireReader(
          new WireWriter()
            .compactText(text)
            .compactArray(numbers, (number, to) => to.int64(number))
            .endOfFields()
            .int16(-7)
            .done(),
        );
        expect(reader.compactText()).toBe(text);
        expect(reader.compactArray((from) => from.int64())).toEqual(numbers);
        reader.endOfFields();
        expect(reader.int16()).toBe(-7);
      },
    ),
  );
});

test('fields that a newer broker adds are passed over', () => {
  // One tagged field, number 5, of 3 bytes; then a number that we know.
  const reader = new WireReader(Buffer.from([1, 5, 3, 9, 9, 9, 0, 42]));
  reader.endOfFields();
  expect(reader.int16()).toBe(42);
});

test('an answer that ends too early is an error, not a value', () => {
  expect(() => new WireReader(Buffer.from([9, 65])).compactText()).toThrow(RangeError);
});

test('SCRAM-SHA-256 speaks as the example of RFC 7677', () => {
  const client = scramClient('sha256', 'user', 'pencil', 'rOprNGfwEbeRWgbNEkqO');
  expect(client.first).toBe('n,,n=user,r=rOprNGfwEbeRWgbNEkqO');
  expect(
    client.final(
      'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096',
    ),
  ).toBe(
    'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=',
  );
  expect(() => {
    client.verify(`v=${createHash('sha256').update('an impostor').digest('base64')}`);
  }).toThrow('prove');
  client.verify('v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=');
});

test('a SCRAM answer to somebody else is refused', () => {
  const client = scramClient('sha512', 'user', 'pencil', 'mine');
  expect(() => client.final('r=theirs,s=AAAA,i=4096')).toThrow('nonce');
});
