import type {
  DeliveryFeedback,
  MessageRefused,
  RefusalReason,
} from '../../schemas/generated/records.js';
import type { Coordinates } from '../../schemas/record.js';
import { DEAD_LETTER_HEADERS } from '../../topologies/runtime/dead-letters.js';
import type { Decoded } from '../read/decoded.js';
import type { PlannedKind } from '../traffic/planned.js';

/** A message, whatever its generation. */
export type MessageKey = string;
export const messageKey = (tenantId: string | null, messageId: string | null): MessageKey =>
  `${tenantId ?? ''}|${messageId ?? ''}`;

type RecordKey = string;
const recordKey = ({ topic, partition, offset }: Coordinates): RecordKey =>
  `${topic}/${partition}/${offset}`;

interface Produced {
  readonly message: MessageKey;
  readonly kind: PlannedKind;
}

/** How many records are in each end state of contract.md. */
export interface EndStates {
  readonly produced: number;
  readonly accepted: number;
  readonly delivered: number;
  readonly failed: number;
  readonly refused: Readonly<Partial<Record<RefusalReason, number>>>;
  readonly deadLetters: number;
  readonly parked: number;
  readonly held: number;
  /** Tried, and to be tried again. */
  readonly inFlight: number;
  /** Without a trace so far: on their way, or lost. */
  readonly unseen: number;
}

/** What contradicts "each record in exactly one end state". Empty lists: nothing does. */
export interface Contradictions {
  /** In more than one end state, or in one that no record explains. */
  readonly surplus: readonly string[];
  /** The same event seen twice by a read_committed reader. */
  readonly repeatedEvents: readonly string[];
}

/**
 * Sets of ids: what was acknowledged to the producer on one side, what a read_committed reader saw on the other.
 * Nothing in here comes from the pipeline's own counters.
 */
export class Accounting {
  readonly #ingest: ReadonlySet<string>;
  readonly #produced = new Map<RecordKey, Produced>();
  readonly #refused = new Map<RecordKey, RefusalReason[]>();
  readonly #dead = new Map<RecordKey, number>();
  readonly #refusedLater = new Map<MessageKey, RefusalReason[]>();
  readonly #parked = new Map<MessageKey, number>();
  readonly #feedback = new Map<MessageKey, DeliveryFeedback>();
  readonly #events = new Set<string>();
  readonly #repeated: string[] = [];
  readonly #stray: string[] = [];

  /** @param ingest full names of the topics that records are produced to */
  constructor(ingest: readonly string[]) {
    this.#ingest = new Set(ingest);
  }

  produced(at: Coordinates, message: MessageKey, kind: PlannedKind): void {
    this.#produced.set(recordKey(at), { message, kind });
  }

  observe(record: Decoded): void {
    const { decoded } = record;
    switch (decoded.is) {
      case 'DeliveryFeedback':
        this.#onFeedback(decoded.value);
        break;
      case 'MessageRefused':
        this.#onRefused(decoded.value);
        break;
      case 'Parked': {
        const request = (decoded.value.deduped ?? decoded.value.routed?.reserved.deduped)?.request;
        const message = messageKey(request?.tenantId ?? null, request?.messageId ?? null);
        this.#parked.set(message, (this.#parked.get(message) ?? 0) + 1);
        break;
      }
      case 'Unreadable':
        this.#onDead(record);
        break;
      case 'MessageRequest':
      case 'MessageDeduped':
      case 'BudgetReserved':
      case 'MessageRouted':
      case 'ProviderReceipt':
      case 'ChannelWindow':
      case 'BreakerLevel':
      case 'BreakerCommand':
      case 'ConfigEntry':
      case 'AccountLevel':
        break;
    }
  }

  /** The newest feedback of each message. */
  get feedback(): ReadonlyMap<MessageKey, DeliveryFeedback> {
    return this.#feedback;
  }

  /** Acknowledged records that were planned so. */
  countOf(kind: PlannedKind): number {
    let count = 0;
    for (const produced of this.#produced.values()) if (produced.kind === kind) count += 1;
    return count;
  }

  endStates(): EndStates {
    const refused: Partial<Record<RefusalReason, number>> = {};
    const counts = { accepted: 0, delivered: 0, failed: 0, parked: 0, held: 0, inFlight: 0 };
    let deadLetters = 0;
    let unseen = 0;
    const counted = new Set<MessageKey>();
    for (const [key, { message }] of this.#produced) {
      const [reason] = this.#refused.get(key) ?? [];
      if (this.#dead.has(key)) deadLetters += 1;
      else if (reason !== undefined) refused[reason] = (refused[reason] ?? 0) + 1;
      else if (counted.has(message)) unseen += 1;
      else {
        const state = this.#stateOf(message);
        if (state === 'unseen') unseen += 1;
        else if (state.startsWith('refused:')) {
          const late = state.slice('refused:'.length) as RefusalReason;
          refused[late] = (refused[late] ?? 0) + 1;
        } else counts[state as keyof typeof counts] += 1;
        counted.add(message);
      }
    }
    return { produced: this.#produced.size, refused, deadLetters, unseen, ...counts };
  }

  /** To be asked when nothing moves any more. */
  contradictions(): Contradictions {
    const surplus = [...this.#stray];
    const taken = new Set<MessageKey>();
    for (const [key, { message }] of this.#produced) {
      const ends = (this.#refused.get(key)?.length ?? 0) + (this.#dead.get(key) ?? 0);
      if (ends > 1) surplus.push(`${key} ended ${ends} times`);
      if (ends === 0) taken.add(message);
    }
    for (const key of [...this.#refused.keys(), ...this.#dead.keys()])
      if (!this.#produced.has(key)) surplus.push(`${key} ended, but was not produced by this run`);
    const ended = new Set([
      ...this.#feedback.keys(),
      ...this.#parked.keys(),
      ...this.#refusedLater.keys(),
    ]);
    for (const message of ended) {
      if (!taken.has(message))
        surplus.push(`${message} went on, but each of its records had ended`);
      const parked = this.#parked.get(message) ?? 0;
      const refused = this.#refusedLater.get(message)?.length ?? 0;
      const concluded = this.#feedback.get(message)?.terminal === true ? 1 : 0;
      if (parked + refused + concluded > 1)
        surplus.push(`${message}: parked ${parked}, refused ${refused}, concluded ${concluded}`);
    }
    return { surplus, repeatedEvents: this.#repeated };
  }

  #stateOf(message: MessageKey): string {
    const [refused] = this.#refusedLater.get(message) ?? [];
    if (refused !== undefined) return `refused:${refused}`;
    const feedback = this.#feedback.get(message);
    if (feedback === undefined) return this.#parked.has(message) ? 'parked' : 'unseen';
    switch (feedback.state) {
      case 'accepted':
      case 'delivered':
        return feedback.state;
      case 'failed':
        return feedback.terminal ? 'failed' : 'inFlight';
      case 'held':
      case 'unknown':
        return 'held';
    }
  }

  #onFeedback(feedback: DeliveryFeedback): void {
    if (this.#events.has(feedback.feedbackId)) {
      this.#repeated.push(feedback.feedbackId);
      return;
    }
    this.#events.add(feedback.feedbackId);
    const message = messageKey(feedback.tenantId, feedback.messageId);
    const before = this.#feedback.get(message);
    // Partitions are read side by side, but one message keeps its key and so its partition: order is by sequence.
    if (before === undefined || before.sequence <= feedback.sequence)
      this.#feedback.set(message, feedback);
  }

  #onRefused({ source, reason, tenantId, messageId }: MessageRefused): void {
    const [map, key] = this.#ingest.has(source.topic)
      ? [this.#refused, recordKey(source)]
      : [this.#refusedLater, messageKey(tenantId, messageId)];
    map.set(key, [...(map.get(key) ?? []), reason]);
  }

  #onDead({ headers, at }: Decoded): void {
    const text = (name: string) => headers[name]?.toString() ?? '';
    const topic = text(DEAD_LETTER_HEADERS.topic);
    const key = `${topic}/${text(DEAD_LETTER_HEADERS.partition)}/${text(DEAD_LETTER_HEADERS.offset)}`;
    if (this.#ingest.has(topic)) this.#dead.set(key, (this.#dead.get(key) ?? 0) + 1);
    else this.#stray.push(`dead letter at ${recordKey(at)} came from ${key}, after ingest`);
  }
}
