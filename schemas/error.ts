/** What happens to the record (or process) that met the error. */
export type Verdict = 'retry' | 'dead-letter' | 'stop';

/** One table gives each code its verdict. A new code without a verdict does not compile. */
const VERDICTS = {
  // the record's own fault
  not_framed: 'dead-letter',
  tombstone: 'dead-letter',
  unknown_schema: 'dead-letter',
  unresolvable_schema: 'dead-letter',
  undecodable: 'dead-letter',
  undecidable: 'dead-letter',
  unencodable: 'dead-letter',
  output_too_large: 'dead-letter',
  row_refused: 'dead-letter',
  // a dependency's fault: wait, skip nothing
  registry_unavailable: 'retry',
  kafka_unavailable: 'retry',
  postgres_unavailable: 'retry',
  redis_unavailable: 'retry',
  influx_unavailable: 'retry',
  provider_unavailable: 'retry',
  // another worker owns the record's partition, or says so: whose it is, its group tells
  ownership_lost: 'retry',
  // leases are on their way back to an account that has too little: seconds
  leases_recalled: 'retry',
  // the installation's fault: a person must act
  config_invalid: 'stop',
  schema_incompatible: 'stop',
  topic_missing: 'stop',
  topic_too_small: 'stop',
  client_feature_missing: 'stop',
  state_too_new: 'stop',
  fenced: 'stop',
  kafka_refused: 'stop',
  postgres_refused: 'stop',
  redis_refused: 'stop',
  influx_refused: 'stop',
  defect: 'stop',
} as const satisfies Record<string, Verdict>;

export type ErrorCode = keyof typeof VERDICTS;

/** The only error that crosses a module boundary. `message` says what to do where a person must act. */
export class PipelineError extends Error {
  readonly code: ErrorCode;
  readonly verdict: Verdict;

  constructor(code: ErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'PipelineError';
    this.code = code;
    this.verdict = VERDICTS[code];
  }
}

/** Anything thrown, as an Error. */
export const asError = (thrown: unknown): Error =>
  thrown instanceof Error ? thrown : new Error(String(thrown));

/** Whether it passes by itself: what was tried is tried again. */
export const isRetry = (thrown: unknown): thrown is PipelineError =>
  thrown instanceof PipelineError && thrown.verdict === 'retry';
