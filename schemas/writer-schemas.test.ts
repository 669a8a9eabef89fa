import { describe, expect, test } from 'vitest';
import { PipelineError } from './error.js';
import { type RegisteredSchema, writerSchemas } from './writer-schemas.js';

const framed = (id: number): Buffer => Buffer.of(0, 0, 0, 0, id, 2);
const INT: RegisteredSchema = { kind: 'AVRO', text: '"int"', references: [] };

/** A registry that counts what it is asked, and a clock moved by hand. */
const rig = (answers: Map<number, RegisteredSchema | 'away'>) => {
  const asked: number[] = [];
  const clock = { now: 0 };
  const schemas = writerSchemas(
    (id) => {
      asked.push(id);
      const answer = answers.get(id);
      return answer === 'away'
        ? Promise.reject(new PipelineError('registry_unavailable', 'away'))
        : Promise.resolve(answer ?? null);
    },
    () => clock.now,
  );
  return { schemas, asked, clock };
};

describe('writer schemas', () => {
  test('each id is fetched once, whatever else lies in the batch', async () => {
    const { schemas, asked } = rig(new Map([[7, INT]]));
    const batch = [framed(7), null, undefined, Buffer.of(1), framed(7), framed(7)];
    await schemas.prepare(batch);
    await schemas.prepare(batch);
    expect(asked).toEqual([7]);
    expect(schemas.get(7)?.is).toBe('known');
  });

  test('a 404 is believed for 30 s, then asked again', async () => {
    const answers = new Map<number, RegisteredSchema>();
    const { schemas, asked, clock } = rig(answers);
    await schemas.prepare([framed(7)]);
    clock.now = 29_999;
    await schemas.prepare([framed(7)]);
    expect(asked).toEqual([7]);
    expect(schemas.get(7)?.is).toBe('absent');
    answers.set(7, INT);
    clock.now = 30_000;
    await schemas.prepare([framed(7)]);
    expect(schemas.get(7)?.is).toBe('known');
  });

  test('a registry that is away makes the batch wait, and is asked again', async () => {
    const answers = new Map<number, RegisteredSchema | 'away'>([[7, 'away']]);
    const { schemas } = rig(answers);
    await expect(schemas.prepare([framed(7)])).rejects.toMatchObject({
      code: 'registry_unavailable',
      verdict: 'retry',
    });
    expect(schemas.get(7)).toBeUndefined();
    answers.set(7, INT);
    await schemas.prepare([framed(7)]);
    expect(schemas.get(7)?.is).toBe('known');
  });
});
