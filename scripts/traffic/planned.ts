import type { Lane, MessageRequest, RefusalReason } from '../../schemas/generated/records.js';

/** What the pipeline has to make of a planned record, by contract.md. */
export type PlannedKind =
  /** Ends accepted, delivered, failed or held. */
  | 'deliverable'
  /** One of the two with its idempotency key is refused `duplicate`, whichever comes second. */
  | 'duplicate'
  /** The same key with other content: one of the two is refused `idempotency_conflict`. */
  | 'conflict'
  /** A dead letter. */
  | 'malformed'
  /** Refused for its fields, its tenant or its template. */
  | 'invalid'
  /** Refused for want of cash or units. */
  | 'unaffordable'
  /** Refused: its only channel needs an address it lacks. */
  | 'no_address'
  /** Parked until its notBefore. */
  | 'future';

/** Ways of being unreadable. `truncated` and `unknown_schema` need an encoder. */
export type Malformation = 'not_framed' | 'unknown_schema' | 'truncated' | 'tombstone';

export type Payload =
  | { readonly form: 'request'; readonly request: MessageRequest }
  | {
      readonly form: 'malformed';
      readonly how: Malformation;
      /** What it would have been. */
      readonly request: MessageRequest;
    };

/** One record to be produced. */
export interface Planned {
  readonly lane: Lane;
  /** Kafka key: the recipient's user id, so that order holds per recipient. */
  readonly key: string;
  readonly payload: Payload;
  readonly kind: PlannedKind;
  /** The reason it is refused for, where kind says so and the order of records does not matter. */
  readonly reason: RefusalReason | null;
  /** When to write it: ms after the start. */
  readonly at: number;
}

/** Bytes of a planned value. `encode` frames a request as producers do (Confluent wire format). */
export const valueOf = (
  payload: Payload,
  encode: (request: MessageRequest) => Buffer,
): Buffer | null => {
  if (payload.form === 'request') return encode(payload.request);
  switch (payload.how) {
    case 'tombstone':
      return null;
    case 'not_framed':
      return Buffer.from(JSON.stringify({ messageId: payload.request.messageId, oops: 'JSON' }));
    case 'truncated': {
      const whole = encode(payload.request);
      // Still inside the ids at its front, so that no reader can take it for a shorter record.
      return whole.subarray(0, Math.min(whole.length - 1, 20));
    }
    case 'unknown_schema': {
      const copy = Buffer.from(encode(payload.request));
      copy.writeInt32BE(0x7fff_fff0, 1);
      return copy;
    }
  }
};
