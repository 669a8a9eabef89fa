import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { EXPIRES, NOW } from '../../processors/send/fixtures.js';
import { RECORD_NAMES, type RecordName, compatibilityOf } from '../../schemas/record-types.js';
import { projectRoot } from '../../schemas/root.js';
import { arbitraryRecord } from '../../schemas/testing/arbitrary-record.js';
import type * as claimModule from '../../processors/send/claim-codec.js';
import type * as waitingModule from '../../processors/unknown/waiting-codec.js';
import type * as topicCodecs from '../../schemas/topic-codecs.js';
import type * as blockModule from '../../topologies/runtime/block-codec.js';
import type { Codecs, SchemaSource } from '../../schemas/topic-codecs.js';
import { type Build, nextBuild } from './builds.js';

/** Below the project, where Node finds its packages. */
const folder = path.join(projectRoot(), '.stack', 'next-release-of-tests');
let build: Build;
/** What is compiled: of this release, and of the next. */
let both: readonly Compiled[];

interface Compiled {
  readonly codecs: Codecs;
  readonly claims: typeof claimModule;
  readonly heldAttempts: typeof waitingModule;
  readonly blocks: typeof blockModule;
}

/** A registry, as both know it: an id for each schema that was asked for. */
const registered: string[] = [];
const registry: SchemaSource = {
  idOf: (_subject, schema) => Promise.resolve(registered.push(schema)),
  schemaById: (id) => {
    const text = registered[id - 1];
    return Promise.resolve(text === undefined ? null : { kind: 'AVRO', text, references: [] });
  },
};

const compiled = async (root: string): Promise<Compiled> => {
  const load = (file: string): Promise<unknown> => import(path.join(root, 'dist', file));
  const { openCodecs } = (await load('schemas/topic-codecs.js')) as typeof topicCodecs;
  return {
    codecs: await openCodecs(
      registry,
      RECORD_NAMES.map((record) => ({ topic: record, record })),
    ),
    claims: (await load('processors/send/claim-codec.js')) as Compiled['claims'],
    heldAttempts: (await load('processors/unknown/waiting-codec.js')) as Compiled['heldAttempts'],
    blocks: (await load('topologies/runtime/block-codec.js')) as Compiled['blocks'],
  };
};

const ways = [
  ['an upgrade', 0, 1],
  ['a rollback', 1, 0],
] as const;
const sides = (writer: 0 | 1, reader: 0 | 1): readonly [Compiled, Compiled] => {
  const [from, to] = [both[writer], both[reader]];
  if (from === undefined || to === undefined) throw new Error('two builds');
  return [from, to];
};
const sample = <N extends RecordName>(record: N) => {
  const [value] = fc.sample(arbitraryRecord(record), { numRuns: 1, seed: 5 });
  if (value === undefined) throw new Error('no sample');
  return value;
};

beforeAll(async () => {
  build = nextBuild(folder);
  both = [await compiled(projectRoot()), await compiled(folder)];
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

test('the next release is another release, by its own command', () => {
  const say = (file: string) =>
    execFileSync(process.execPath, [file, '--version'], { encoding: 'utf8' }).trim();
  expect(say(build.millrace)).toBe(build.release);
  expect(say(path.join(projectRoot(), 'scripts', 'millrace.cjs'))).not.toBe(build.release);
});

test.each(ways)('%s: every record that we write is read by the other side', async (_way, w, r) => {
  const [from, to] = sides(w, r);
  for (const record of RECORD_NAMES) {
    const value = sample(record);
    const bytes = from.codecs.of(record, record).encode(structuredClone(value));
    const own = to.codecs.of(record, record).encode(structuredClone(value));
    const ours = compatibilityOf(record) === 'FULL_TRANSITIVE';
    expect(bytes.subarray(5).equals(own.subarray(5)), record).toBe(!ours);
    await to.codecs.prepare([bytes]);
    expect(to.codecs.of(record, record).decode(bytes)).toMatchObject(value);
  }
});

test.each(ways)('%s: state is read by the other side, in another version', async (_way, w, r) => {
  const [from, to] = sides(w, r);
  const routed = sample('MessageRouted');
  const routedOf = ({ codecs }: Compiled) => codecs.of('MessageRouted', 'MessageRouted');
  const at = { topic: 'routed.sms.p0', partition: 1, offset: 2 };
  const claim = { routed, at, claimedAt: NOW, deadline: EXPIRES };
  const written = from.claims.claimCodec(routedOf(from)).encode(structuredClone(claim));
  const block = from.blocks.blockCodec().encode([{ key: 'a', value: written }]);
  expect(block[0]).not.toBe(to.blocks.blockCodec().encode([])[0]);
  const [entry] = to.blocks.blockCodec().decode(block);
  const claims = to.claims.claimCodec(routedOf(to));
  await to.codecs.prepare([claims.framed?.(written)]);
  expect(claims.decode(entry?.value ?? Buffer.alloc(0))).toMatchObject(claim);

  const waiting = { routed, heldAt: NOW, nextAt: EXPIRES, asked: 1 };
  const held = from.heldAttempts.waitingCodec(routedOf(from)).encode(structuredClone(waiting));
  expect(to.heldAttempts.waitingCodec(routedOf(to)).decode(held)).toMatchObject(waiting);
});
