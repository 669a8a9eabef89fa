import { dedupedIn } from '../../processors/carried.js';
import { laneOf } from '../../processors/lane.js';
import type { MessageRequest } from '../../schemas/generated/records.js';
import type { Returning } from '../../topologies/reenter.js';
import type { TopicNames } from '../../topologies/topic-names.js';
import { AGAIN_STAGES, type AgainStage } from '../../topologies/topic-names.js';
import type { TopicSpec } from '../../topologies/topic-table.js';
import { NotNow, UsageError } from '../cli/exit.js';
import type { Decoded } from '../read/decoded.js';

/** The stage whose input a record is, by what it is. */
const STAGE_OF = {
  MessageRequest: 'dedupe',
  MessageDeduped: 'budget-reserve',
  BudgetReserved: 'route',
  MessageRouted: 'send',
} as const satisfies Partial<Record<Decoded['decoded']['is'], AgainStage>>;

type Replayable = keyof typeof STAGE_OF;

export const isReplayable = (record: string | null): record is Replayable =>
  record !== null && record in STAGE_OF;

/**
 * The topics that --from means: one by its name, or a family by its beginning (ingest: all lanes and tenants).
 * @throws UsageError naming what there is, or the command that is meant
 */
export const sourceTopics = (
  table: readonly TopicSpec[],
  names: TopicNames,
  prefix: string,
  from: string,
): readonly TopicSpec[] => {
  const name = from.startsWith(prefix) ? from : prefix + from;
  const named = table.filter(
    (spec) =>
      (spec.name === name || spec.name.startsWith(`${name}.`)) &&
      spec.visibility !== 'internal' &&
      !spec.name.startsWith(`${prefix}again.`),
  );
  // `retry` means the messages there, not the receipts.
  const messages = named.filter(({ record }) => isReplayable(record));
  const found = messages.length > 0 ? messages : named;
  if (found.length === 0)
    throw new UsageError(
      `no topic ${from}: ingest, deduped, reserved, routed.<channel> and retry, or one of their lanes`,
    );
  for (const spec of found) {
    if (isReplayable(spec.record)) continue;
    const redriven =
      spec.name === names.refused || spec.name === names.deadLetters || spec.record === 'Parked';
    throw new UsageError(
      redriven
        ? `${spec.name} holds what did not go on: millrace redrive --from ${spec.record === 'Parked' ? 'parked' : spec.name.slice(prefix.length)}`
        : `${spec.name} holds no messages that a stage takes: replay from ingest, deduped, reserved, routed or retry`,
    );
  }
  return found;
};

/**
 * The stage that records of these topics go back to: as asked, or their own.
 * @throws UsageError where a record lacks what that stage needs
 */
export const targetStage = (
  topics: readonly TopicSpec[],
  asked: AgainStage | undefined,
): AgainStage => {
  const own = topics.flatMap(({ record }) => (isReplayable(record) ? [STAGE_OF[record]] : []));
  const [first] = own;
  if (first === undefined) throw new NotNow('no topic to replay from');
  if (asked === undefined) return first;
  if (AGAIN_STAGES.indexOf(asked) > AGAIN_STAGES.indexOf(first))
    throw new UsageError(
      `${topics[0]?.name ?? ''} lies before ${asked}: its records go back to ${AGAIN_STAGES.slice(0, AGAIN_STAGES.indexOf(first) + 1).join(' or ')}`,
    );
  return asked;
};

type Message = Extract<Decoded['decoded'], { readonly is: Replayable }>;

const isMessage = (value: Decoded['decoded']): value is Message => isReplayable(value.is);

/** The request within a message's record; null: it is none. */
export const requestIn = ({ decoded }: Decoded): MessageRequest | null => {
  if (!isMessage(decoded)) return null;
  return decoded.is === 'MessageRequest' ? decoded.value : dedupedIn(decoded.value).request;
};

/** A record as the input of a stage at or before its own; null: it is no message. */
export const returning = (record: Decoded, to: AgainStage): Returning | null => {
  const { decoded, at, key } = record;
  if (!isMessage(decoded)) return null;
  const origin = { origin: at, lane: laneOf(at.topic) } as const;
  if (decoded.is === 'MessageRequest')
    return {
      ...origin,
      stage: 'dedupe',
      value: decoded.value,
      key: key?.toString() ?? null,
      generation: 0,
    };
  const deduped = dedupedIn(decoded.value);
  switch (to) {
    case 'dedupe':
      return {
        ...origin,
        stage: 'dedupe',
        value: deduped.request,
        key: deduped.key,
        generation: deduped.generation,
      };
    case 'budget-reserve':
      return { ...origin, stage: 'budget-reserve', value: deduped };
    case 'route':
      return decoded.is === 'MessageDeduped'
        ? null
        : {
            ...origin,
            stage: 'route',
            value: decoded.is === 'BudgetReserved' ? decoded.value : decoded.value.reserved,
          };
    case 'send':
      return decoded.is === 'MessageRouted'
        ? { ...origin, stage: 'send', value: decoded.value }
        : null;
  }
};
