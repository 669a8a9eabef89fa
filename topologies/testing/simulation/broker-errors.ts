import rdkafka from 'node-rdkafka';

const { ERRORS } = rdkafka.CODES;

interface Flags {
  readonly code: number;
  readonly isFatal?: boolean;
  readonly isTxnRequiresAbort?: boolean;
  readonly isRetriable?: boolean;
}

const failure = (message: string, flags: Flags): Error => Object.assign(new Error(message), flags);

/** Failures as librdkafka reports them, with its codes and flags. */
export const brokerErrors = {
  fenced: () =>
    failure('a newer producer with this transactional id fences this one', {
      code: ERRORS.ERR__FENCED,
      isFatal: true,
    }),
  unknownMember: () =>
    failure('Broker: Unknown member', {
      code: ERRORS.ERR_UNKNOWN_MEMBER_ID,
      isTxnRequiresAbort: true,
    }),
  oldGeneration: () =>
    failure('Broker: Specified group generation id is not valid', {
      code: ERRORS.ERR_ILLEGAL_GENERATION,
      isTxnRequiresAbort: true,
    }),
  mustAbort: () =>
    failure('simulated: the broker refused; the transaction must be aborted', {
      code: ERRORS.ERR_NOT_ENOUGH_REPLICAS,
      isTxnRequiresAbort: true,
    }),
  timedOut: (what: string) => failure(`${what}: no answer`, { code: ERRORS.ERR__TIMED_OUT }),
  erroneousState: (what: string) =>
    failure(`Local: Erroneous state (${what})`, { code: ERRORS.ERR__STATE }),
  assign: () => failure('assign', { code: ERRORS.ERR__ASSIGN_PARTITIONS }),
  revoke: () => failure('revoke', { code: ERRORS.ERR__REVOKE_PARTITIONS }),
} as const;
