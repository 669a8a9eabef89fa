import { PipelineError } from '../../schemas/error.js';
import { asError } from '../../schemas/error.js';
import { compileExpression } from '../../schemas/expression.js';
import type { VariableType } from '../../schemas/expression.js';
import type { MessageRequest } from '../../schemas/generated/records.js';
import type { Coordinates } from '../../schemas/record.js';
import type { RecordName } from '../../schemas/record-types.js';
import { UsageError } from '../cli/exit.js';

/** What --where is asked about. */
export interface Judged {
  readonly at: Coordinates;
  readonly key: Buffer | null;
  readonly timestamp: number;
  /** As it lies on its topic. */
  readonly record: unknown;
  /** The message's. */
  readonly request: MessageRequest;
}

export type Judgement = 'yes' | 'no' | { readonly unanswered: string };

export type Where = (judged: Judged) => Judgement;

/** For --help. */
export const WHERE_HELP = `--where is a condition in CEL (cel.dev) over
  request     the message's request: request.tenantId == "acme", "sms" in request.channels
  record      the record as it lies on the topic
  topic, partition, offset, key, timestamp
Money is whole micros, times are milliseconds: request.maxCostMicros > money("0.05"),
request.createdAt < time("2026-01-31T08:00Z"). A field that may be absent is null.`;

/**
 * Compiles --where. @throws UsageError that points at the place in the expression
 * @param record what lies on the topics; null: bytes without a schema
 */
export const whereOf = (text: string | undefined, record: RecordName | null): Where => {
  if (text === undefined) return () => 'yes';
  const variables: Readonly<Record<string, VariableType>> = {
    request: { record: 'MessageRequest' },
    ...(record !== null && { record: { record } }),
    topic: 'string',
    partition: 'int',
    offset: 'int',
    key: 'string',
    timestamp: 'int',
  };
  try {
    const { holds } = compileExpression(text, variables);
    return ({ at, key, timestamp, record: value, request }) => {
      try {
        const { topic, partition, offset } = at;
        const said = holds({
          request,
          record: value,
          topic,
          partition,
          offset,
          key: key?.toString() ?? '',
          timestamp,
        });
        return said ? 'yes' : 'no';
      } catch (thrown) {
        const place = `${at.topic}/${at.partition}/${at.offset}`;
        return { unanswered: `${place}: ${asError(thrown).message}` };
      }
    };
  } catch (thrown) {
    if (thrown instanceof PipelineError && thrown.code === 'config_invalid')
      throw new UsageError(`--where: ${thrown.message}`);
    throw thrown;
  }
};
