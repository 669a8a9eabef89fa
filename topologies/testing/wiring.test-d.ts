import { describe, expectTypeOf, test } from 'vitest';
import type { Leases } from '../../processors/budget-reserve/leases.js';
import type { Reservations } from '../../processors/budget-reserve/reservations.js';
import { dedupe } from '../../processors/dedupe/dedupe.js';
import type { FirstSeen } from '../../processors/dedupe/first-seen.js';
import type { KeyRelease } from '../../processors/dedupe/free-keys.js';
import type {
  Caller,
  Contract,
  Decision,
  Emit,
  IdSet,
  Processor,
  Put,
} from '../../processors/processor.js';
import type { Providers } from '../../processors/send/contract.js';
import { send } from '../../processors/send/send.js';
import type { MessageDeduped } from '../../schemas/generated/records.js';
import type { Topic } from '../../schemas/record.js';
import type { DeliveryOptions, intake, sending } from '../delivery.js';
import type { Topology } from '../topology.js';
import { stage } from '../topology.js';
import type { TypedTopics } from '../topics.js';
import { TestDriver } from './driver.js';

/*
 * Each wrong wiring below must not compile: @ts-expect-error is itself an error where nothing is wrong, so that a
 * check which no longer holds fails `npm run types` and vitest.
 */

declare const topics: TypedTopics;
declare const use: (...values: readonly unknown[]) => void;
declare const options: DeliveryOptions;
declare const lane: ReturnType<TypedTopics['lane']>;
const { ingest, deduped, parked, routed, retry, claims, seen } = lane;
const { refused, config, feedback, levels, receipts, unknown } = topics;

describe('a stage is given a topic of the right record for each name of its contract', () => {
  test('the right ones compile', () => {
    stage(dedupe(options), {
      from: { ingest },
      to: { deduped, parked, refused },
      state: { seen },
      tables: { config },
    });
    stage(send({ ...options, lane: 'p0' }), {
      from: { routed },
      to: { feedback, retry, parked, refused, unknown, receipts },
      state: { claims },
      tables: { levels, config },
    });
  });

  test('a topic of another record does not', () => {
    stage(dedupe(options), {
      // @ts-expect-error deduped carries MessageDeduped, not MessageRequest
      from: { ingest: deduped },
      to: { deduped, parked, refused },
      state: { seen },
      tables: { config },
    });
    stage(dedupe(options), {
      from: { ingest },
      // @ts-expect-error feedback is no topic of refusals
      to: { deduped, parked, refused: feedback },
      state: { seen },
      tables: { config },
    });
    stage(dedupe(options), {
      from: { ingest },
      to: { deduped, parked, refused },
      // @ts-expect-error levels is no configuration
      tables: { config: levels },
    });
  });

  test('a near miss does not: what is read must be all that is written, and the other way round', () => {
    type Short = Omit<MessageDeduped, 'dedupedAt'>;
    const short = {} as Topic<Short>;
    const long = {} as Topic<MessageDeduped & { readonly more: string }>;
    stage(dedupe(options), {
      from: { ingest },
      // @ts-expect-error the topic's records lack a field
      to: { deduped: short, parked, refused },
      state: { seen },
      tables: { config },
    });
    stage(dedupe(options), {
      from: { ingest },
      // @ts-expect-error the topic's records have a field that is not written
      to: { deduped: long, parked, refused },
      state: { seen },
      tables: { config },
    });
  });

  test('a family of topics stands for one topic, of its own record only', () => {
    stage(dedupe(options), {
      from: { ingest },
      // @ts-expect-error routed is a family of MessageRouted
      to: { deduped: routed, parked, refused },
      state: { seen },
      tables: { config },
    });
  });
});

describe('what the contract names is wired, and nothing else', () => {
  test('a missing entry or group does not compile', () => {
    stage(dedupe(options), {
      from: { ingest },
      // @ts-expect-error refused has no topic
      to: { deduped, parked },
      state: { seen },
      tables: { config },
    });
    // @ts-expect-error tables are missing
    stage(dedupe(options), { from: { ingest }, to: { deduped, parked, refused }, state: { seen } });
    // @ts-expect-error state has no changelog: claims would be lost with the process
    stage(send({ ...options, lane: 'p0' }), {
      from: { routed },
      to: { feedback, retry, parked, refused, unknown, receipts },
      tables: { levels, config },
    });
  });

  test('state or tables that the contract does not name do not compile', () => {
    stage(dedupe(options), {
      from: { ingest },
      to: { deduped, parked, refused },
      tables: { config },
      // @ts-expect-error dedupe keeps no claims
      state: { seen, claims },
    });
    stage(dedupe(options), {
      from: { ingest },
      to: { deduped, parked, refused },
      state: { seen },
      // @ts-expect-error dedupe looks at no levels
      tables: { config, levels },
    });
    stage(dedupe(options), {
      // @ts-expect-error dedupe reads no routed records
      from: { ingest, routed },
      to: { deduped, parked, refused },
      state: { seen },
      tables: { config },
    });
  });
});

describe('a decision uses only what its contract names', () => {
  interface Plain extends Contract {
    readonly from: { readonly words: string };
    readonly to: { readonly counts: number };
    readonly state: { readonly seen: bigint };
    readonly tables: { readonly limits: string };
  }

  test('a name or value outside of it does not compile', () => {
    const decide: Processor<Plain>['decide'] = ({ value }, _fact, { state, tables }) => {
      expectTypeOf(value).toEqualTypeOf<string>();
      expectTypeOf(state.seen.get('a')).toEqualTypeOf<bigint | undefined>();
      expectTypeOf(tables.limits.get('a')).toEqualTypeOf<string | undefined>();
      // @ts-expect-error no such state
      use(state.others);
      // @ts-expect-error no such table
      use(tables.config);
      return { emit: [{ to: 'counts', value: 1 }], put: [{ to: 'seen', key: 'a', value: null }] };
    };
    use(decide);
    type Output = Emit<Plain['to']>;
    expectTypeOf<{ to: 'counts'; value: number; key: string }>().toExtend<Output>();
    expectTypeOf<{ to: 'counts'; value: string }>().not.toExtend<Output>();
    expectTypeOf<{ to: 'words'; value: string }>().not.toExtend<Output>();
    // A tombstone only where the output's record says so.
    expectTypeOf<{ to: 'counts'; value: null }>().not.toExtend<Output>();
    expectTypeOf<{ to: 'seen'; key: string; value: number }>().not.toExtend<Put<Plain['state']>>();
    // This contract makes no calls.
    expectTypeOf<string>().not.toExtend<NonNullable<Decision<Plain>['call']>[number]>();
  });

  test('an id set is wired to the log of one, asked by has, and put by id', () => {
    interface Once extends Contract {
      readonly from: { readonly words: string };
      readonly state: { readonly seen: IdSet; readonly counts: bigint };
    }
    const decide: Processor<Once>['decide'] = (_record, _fact, { state }) => {
      expectTypeOf(state.seen).not.toHaveProperty('get');
      expectTypeOf(state.counts).not.toHaveProperty('has');
      return state.seen.has(Buffer.alloc(16))
        ? {}
        : { put: [{ to: 'seen', id: Buffer.alloc(16) }] };
    };
    const once: Processor<Once> = { name: 'once', gather: null, decide };
    const words = {} as Topic<string>;
    const counts = {} as Topic<bigint>;
    stage(once, { from: { words }, state: { seen, counts } });
    // @ts-expect-error a compacted changelog holds no id set
    stage(once, { from: { words }, state: { seen: counts, counts } });
    expectTypeOf<{ to: 'seen'; key: string; value: bigint }>().not.toExtend<Put<Once['state']>>();
    expectTypeOf<{ to: 'counts'; id: Buffer }>().not.toExtend<Put<Once['state']>>();
  });

  test('state cannot be changed but by puts', () => {
    const decide: Processor<Plain>['decide'] = (_record, _fact, { state }) => {
      expectTypeOf(state.seen).not.toHaveProperty('set');
      expectTypeOf(state.seen).not.toHaveProperty('delete');
      return {};
    };
    use(decide);
  });

  test('gather is null exactly where the contract has no fact', () => {
    interface Asking extends Contract {
      readonly from: { readonly words: string };
      readonly to: { readonly counts: number };
      readonly ports: { readonly shelf: { readonly find: (words: string[]) => Promise<number[]> } };
      readonly fact: number;
    }
    const asking: Processor<Asking> = {
      name: 'asking',
      gather: (batch, { shelf }) => shelf.find(batch.map(({ value }) => value)),
      decide: (_record, fact) => ({ emit: [{ to: 'counts', value: fact }] }),
    };
    const factless: Processor<Asking> = {
      name: 'factless',
      // @ts-expect-error decide counts on a fact
      gather: null,
      decide: (_record, fact) => ({ emit: [{ to: 'counts', value: fact }] }),
    };
    const curious: Processor<Plain> = {
      name: 'curious',
      // @ts-expect-error this contract has no fact to gather
      gather: () => Promise.resolve([1]),
      decide: () => ({}),
    };
    use(asking, factless, curious);
  });
});

describe('a stage that calls out', () => {
  interface Ring extends Contract {
    readonly from: { readonly words: string };
    readonly to: { readonly counts: number };
    readonly call: { readonly number: string };
    readonly answer: { readonly seconds: number };
  }
  const words = {} as Topic<string>;
  const counts = {} as Topic<number>;
  const wire = { from: { words }, to: { counts } };
  const half: Processor<Ring> = {
    name: 'ring',
    gather: null,
    decide: ({ value }) => ({ call: [{ number: value }] }),
  };

  test('must say how calls are made and what answers mean', () => {
    const whole: Caller<Ring> = {
      ...half,
      perform: async function* (calls) {
        await Promise.resolve();
        for (const call of calls) yield { call, seconds: 1 };
      },
      answered: ({ seconds }) => ({ emit: [{ to: 'counts', value: seconds, key: 'a' }] }),
    };
    stage(whole, wire);
    // @ts-expect-error neither perform nor answered: its calls would never be made
    stage(half, wire);
    // @ts-expect-error no answered: its claims would stay open for ever
    stage({ ...half, perform: whole.perform }, wire);
  });

  test('must name in each answer the call that it answers', () => {
    const nameless: Caller<Ring> = {
      ...half,
      // @ts-expect-error the answer lacks its call
      perform: async function* () {
        await Promise.resolve();
        yield { seconds: 1 };
      },
      answered: () => ({}),
    };
    use(nameless);
  });
});

describe('a topology asks for the ports of all its stages', () => {
  const run = <Ports extends object>(_topology: Topology<Ports>, _ports: Ports): void => undefined;
  const firstSeen = {} as FirstSeen;
  const reservations = {} as Reservations;
  const leases = {} as Leases;
  const providers = {} as Providers;
  const taking = {} as ReturnType<typeof intake>;
  const giving = {} as ReturnType<typeof sending>;

  test('intake needs first-seen and the ledger, sending the providers', () => {
    run(taking, { firstSeen, reservations, leases });
    run(giving, { providers });
  });

  test('a missing or wrong port does not compile', () => {
    // @ts-expect-error the ledger is missing
    run(taking, { firstSeen, leases });
    // @ts-expect-error its leases are missing
    run(taking, { firstSeen, reservations });
    // @ts-expect-error first-seen is no ledger
    run(taking, { firstSeen, reservations: firstSeen, leases });
    // @ts-expect-error what only releases keys cannot claim them
    run(taking, { firstSeen: {} as KeyRelease, reservations, leases });
    // @ts-expect-error the providers are missing
    run(giving, { firstSeen, reservations, leases });
  });

  test('the driver takes several topologies with all their ports together, and no fewer', () => {
    use(
      () =>
        new TestDriver([taking, giving], { ports: { firstSeen, reservations, leases, providers } }),
    );
    // @ts-expect-error the providers are missing
    use(() => new TestDriver([taking, giving], { ports: { firstSeen, reservations, leases } }));
  });
});
