import type {
  AccountLevel,
  BreakerCommand,
  BreakerLevel,
  BudgetReserved,
  ChannelWindow,
  ConfigEntry,
  DeliveryFeedback,
  MessageDeduped,
  MessageRefused,
  MessageRequest,
  MessageRouted,
  Parked,
  ProviderReceipt,
} from './generated/records.js';

/** The records that have topics of their own, by their name in schemas/avro. */
export interface RecordTypes {
  readonly AccountLevel: AccountLevel;
  readonly BreakerCommand: BreakerCommand;
  readonly BreakerLevel: BreakerLevel;
  readonly BudgetReserved: BudgetReserved;
  readonly ChannelWindow: ChannelWindow;
  readonly ConfigEntry: ConfigEntry;
  readonly DeliveryFeedback: DeliveryFeedback;
  readonly MessageDeduped: MessageDeduped;
  readonly MessageRefused: MessageRefused;
  readonly MessageRequest: MessageRequest;
  readonly MessageRouted: MessageRouted;
  readonly Parked: Parked;
  readonly ProviderReceipt: ProviderReceipt;
}
export type RecordName = keyof RecordTypes;

/** Whether outsiders write a record or only read it: what its subjects' evolution must respect. */
const WRITTEN_BY = {
  AccountLevel: 'us',
  BreakerCommand: 'us',
  BreakerLevel: 'us',
  BudgetReserved: 'us',
  ChannelWindow: 'us',
  ConfigEntry: 'us',
  DeliveryFeedback: 'us',
  MessageDeduped: 'us',
  MessageRefused: 'us',
  MessageRequest: 'outsiders',
  MessageRouted: 'us',
  Parked: 'us',
  ProviderReceipt: 'us',
} as const satisfies Record<RecordName, 'us' | 'outsiders'>;

export const RECORD_NAMES = Object.keys(WRITTEN_BY) as readonly RecordName[];

/** Rules of evolution, as Confluent's API names them. */
export type Compatibility = 'BACKWARD_TRANSITIVE' | 'FULL_TRANSITIVE';

/**
 * What outsiders write we must be able to read, for ever: BACKWARD_TRANSITIVE. What they read must also stay
 * readable for those who do not update: FULL_TRANSITIVE. (The public contract, "Records".)
 */
export const compatibilityOf = (record: RecordName): Compatibility =>
  WRITTEN_BY[record] === 'outsiders' ? 'BACKWARD_TRANSITIVE' : 'FULL_TRANSITIVE';
