import type { DeliveryFeedback } from '../../../schemas/generated/records.js';
import { storeKey } from '../../runtime/chain.js';
import type { Plan } from './plan.js';
import type { Simulation } from './simulation.js';

interface Named {
  readonly tenantId: string | null;
  readonly messageId: string | null;
}
const nameOf = ({ tenantId, messageId }: Named): string => `${tenantId ?? ''}|${messageId ?? ''}`;

const counted = (names: readonly string[]): Map<string, number> => {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
};
const moreThanOnce = (names: readonly string[]): string[] =>
  [...counted(names)].flatMap(([name, count]) =>
    count > 1 ? [`${name} (${count.toString()} times)`] : [],
  );

/** The oracle: what docs/effectively-once.md promises, and what must be so at rest. Answers what is broken. */
export const brokenPromises = (world: Simulation, rested: boolean): string[] => [
  ...outputsOnce(world),
  ...askedOnce(world),
  ...completedOnce(world),
  ...moneyOnce(world),
  ...(rested
    ? [
        ...nothingLost(world),
        ...nothingPending(world),
        ...heardAndHeld(world),
        ...stateAsWritten(world),
      ]
    : []),
  ...(isCalm(world.plan) ? heldForNothing(world) : []),
];

const isEnd = ({ terminal, state }: DeliveryFeedback): boolean =>
  terminal || state === 'accepted' || state === 'held';

/** 1: each record is in exactly one end state. */
const nothingLost = (world: Simulation): string[] => {
  const { topics } = world;
  const written = counted(world.read(world.lane.ingest.pick()).map(nameOf));
  const refused = counted(world.read(topics.refused).map(nameOf));
  const ended = new Set(world.read(topics.feedback).filter(isEnd).map(nameOf));
  const wrong = [...written].flatMap(([name, count]) => {
    const ends = (refused.get(name) ?? 0) + (ended.has(name) ? 1 : 0);
    return ends === count
      ? []
      : [
          `${ends < count ? 'lost' : 'ended twice'}: ${name} was written ${count.toString()} times and has ${ends.toString()} ends`,
        ];
  });
  const letters = world.log.committed('dead-letters').length;
  return letters === 0 ? wrong : [...wrong, `${letters.toString()} dead letters of good records`];
};

/** 2: each output appears once. */
const outputsOnce = (world: Simulation): string[] => {
  const { topics } = world;
  const { routed } = world.lane;
  return [
    ...moreThanOnce(world.read(topics.feedback).map(({ feedbackId }) => feedbackId)).map(
      (one) => `written twice: feedback ${one}`,
    ),
    ...moreThanOnce(world.read(topics.refused).map(({ source }) => JSON.stringify(source))).map(
      (one) => `written twice: the refusal of ${one}`,
    ),
    ...moreThanOnce(
      routed.all.flatMap((topic) =>
        world.read(topic).map(({ reserved }) => nameOf(reserved.deduped.request)),
      ),
    ).map((one) => `routed twice: ${one}`),
  ];
};

/** 3: debited at most once, and the books add up. */
const moneyOnce = (world: Simulation): string[] => {
  const posts = world
    .read(world.topics.feedback)
    .filter(({ settlement }) => settlement.kind === 'post');
  return [
    ...moreThanOnce(posts.map(nameOf)).map((one) => `debited twice: ${one}`),
    ...world.ledger.unbalanced.map((account) => `the books of ${account} do not add up`),
  ];
};

/** 4: asked at most once per attempt, delivered at most once, and what was delivered is never said to have failed. */
const askedOnce = (world: Simulation): string[] => {
  const { journal } = world.carrier;
  const delivered = journal.filter((one) => one.delivered).map(({ message }) => message);
  const returned = new Set(
    [...world.read(world.topics.feedback), ...world.read(world.topics.refused)]
      .filter(({ settlement }) => settlement.kind === 'void' || settlement.kind === 'reverse')
      .map((one) => `${nameOf(one)}|${one.generation.toString()}`),
  );
  return [
    ...moreThanOnce(journal.map(({ reference }) => reference)).map((one) => `asked twice: ${one}`),
    ...moreThanOnce(delivered).map((one) => `delivered twice: ${one}`),
    ...delivered
      .filter((message) => returned.has(message))
      .map((message) => `delivered, and its money returned: ${message}`),
  ];
};

/**
 * A claim is made once and ended once: by its answer, or by who found it open. In blocks (runtime/packed-store.ts): a
 * record of claims, the bits of those that have ended, tombstones once all have.
 */
const completedOnce = (world: Simulation): string[] => {
  const { claims, claimsRetry } = world.lane;
  return [claims, claimsRetry].flatMap(({ name }) =>
    world.log.partitionsOf(name).flatMap((at) => {
      const { records } = world.log
        .partition(at)
        .read(0, Number.MAX_SAFE_INTEGER, 'read_committed');
      /** Blocks with claims that are open, by source and number, with the bits of those that are not. */
      const open = new Map<string, Buffer>();
      return records.flatMap(({ key, value }) => {
        const [, source = '', what, number = ''] =
          /^(.*)\|([bg])(\d+)$/.exec(key?.toString() ?? '') ?? [];
        const block = `${source}|${number}`;
        const before = open.get(block);
        if (what === 'b') {
          if (value === null) open.delete(block);
          else open.set(block, Buffer.alloc(0));
          if ((value === null) === (before === undefined))
            return [`${value === null ? 'completed' : 'claimed'} twice: ${name} ${block}`];
        } else if (value !== null) {
          const more = value.some((bits, index) => (bits & ~(before?.[index] ?? 0)) !== 0);
          const less = before?.some((bits, index) => (bits & ~(value[index] ?? 0)) !== 0) ?? true;
          open.set(block, value);
          if (less || !more) return [`completed twice: ${name} ${block}`];
        }
        return [];
      });
    }),
  );
};

/** What a worker has heard and lived on with is not held as if nobody knew. */
const heardAndHeld = (world: Simulation): string[] => {
  const held = heldNow(world);
  return world.carrier.heard
    .filter(({ host, message }) => host.process.state === 'running' && held.has(message))
    .map(({ call }) => `held, although its answer was heard: ${call}`);
};

/** tenant|message|generation of what is held last. */
const heldNow = (world: Simulation): Set<string> => {
  const last = new Map<string, DeliveryFeedback>();
  for (const one of world.read(world.topics.feedback)) {
    const name = `${nameOf(one)}|${one.generation.toString()}`;
    const before = last.get(name);
    if (before === undefined || one.sequence >= before.sequence) last.set(name, one);
  }
  return new Set([...last].filter(([, { state }]) => state === 'held').map(([name]) => name));
};

/** Money is pending for held messages, and for nothing else. */
const nothingPending = (world: Simulation): string[] => {
  const held = heldNow(world);
  const { pending } = world.ledger;
  return [
    ...pending.filter((name) => !held.has(name)).map((name) => `pending without a reason: ${name}`),
    ...[...held]
      .filter((name) => !pending.includes(name))
      .map((name) => `held, and its money gone: ${name}`),
  ];
};

/** What tasks hold in memory is what their changelogs say, and at rest no claim is open. */
const stateAsWritten = (world: Simulation): string[] => {
  const broken: string[] = [];
  for (const { worker } of world.workers.values())
    for (const task of worker.tasks)
      for (const shard of task['shards'].values())
        for (const { stage, store, staged } of shard.all()) {
          const changelog = task['options'].changelogs.get(`${stage}/${store}`);
          // Ids stay: an id set is empty only once its hours are over.
          if (changelog === undefined || staged.kind === 'ids') continue;
          const written = new Set<string>();
          const { records } = world.log
            .partition({ topic: changelog.name, partition: shard.partition })
            .read(0, Number.MAX_SAFE_INTEGER, 'read_committed');
          for (const { key, value } of records) {
            const own = storeKey(shard.topic, key?.toString() ?? '');
            if (own === null) continue;
            if (value === null) written.delete(own);
            else written.add(own);
          }
          const kept = [...staged.entries()].map(([key]) => key);
          if (staged.changes.size > 0) broken.push(`${task.name} ${shard.id}: staged at rest`);
          if (kept.length !== written.size || !kept.every((key) => written.has(key)))
            broken.push(
              `${task.name} ${shard.id}: memory holds ${kept.join(' ') || 'nothing'}, its changelog ${[...written].join(' ') || 'nothing'}`,
            );
          else if (written.size > 0)
            broken.push(`${task.name} ${shard.id}: claims open at rest: ${kept.join(' ')}`);
        }
  return broken;
};

const CALM_TIMED = new Set(['stopped', 'redis emptied', 'redis away']);
const AMBIGUOUS = /never answers|nonsense/;

/** Nothing in it makes an outcome unknown: workers that come and stop in order must not either (rule 7). */
const isCalm = ({ faults, answers }: Plan): boolean =>
  faults.every((fault) =>
    'point' in fault
      ? fault.what === 'refused' && fault.point !== 'call'
      : CALM_TIMED.has(fault.what),
  ) && !answers.some((answer) => AMBIGUOUS.test(answer));

const heldForNothing = (world: Simulation): string[] =>
  world
    .read(world.topics.feedback)
    .filter(({ state }) => state === 'held' || state === 'unknown')
    .map((one) => `held although nothing was unclear: ${nameOf(one)}`);
