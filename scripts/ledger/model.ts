/** What became of a message's reservation. */
export type State = 'pending' | 'posted' | 'voided' | 'reversed';

/** A reservation as its row must say. */
export interface Row {
  readonly cash: number;
  readonly units: number;
  state: State;
  renewable: boolean;
  postedCash: number;
  postedUnits: number;
  reversedCash: number;
  reversedUnits: number;
  /** Offset of the record that reserved it. */
  readonly offset: number;
  readonly line: string;
  /** Where it may be sent. */
  readonly channels: readonly string[];
}

export interface Posting {
  readonly kind: 'post' | 'void' | 'reverse';
  readonly cash: number;
  readonly units: number;
  readonly renewable: boolean;
}

export const reservedRow = (
  asked: Pick<Row, 'cash' | 'units' | 'offset' | 'line' | 'channels'>,
): Row => ({
  ...asked,
  state: 'pending',
  renewable: false,
  postedCash: 0,
  postedUnits: 0,
  reversedCash: 0,
  reversedUnits: 0,
});

/** Whether another record of the message reserves anew. */
export const isFree = (row: Row | undefined): boolean =>
  row === undefined || (row.state === 'voided' && row.renewable);

/** Nobody will send it any more. */
export const expire = (row: Row): void => {
  if (row.state !== 'pending') return;
  row.state = 'voided';
  row.renewable = false;
};

/** The second phase, one posting: a resolution that comes again, or too early, changes nothing. */
export const resolve = (row: Row, { kind, cash, units, renewable }: Posting): void => {
  if (kind === 'reverse') {
    if (row.state !== 'posted') return;
    row.state = 'reversed';
    row.renewable = false;
    row.reversedCash = Math.min(cash, row.postedCash);
    row.reversedUnits = Math.min(units, row.postedUnits);
    return;
  }
  if (row.state !== 'pending') return;
  row.renewable = renewable;
  if (kind === 'void') {
    row.state = 'voided';
    return;
  }
  row.state = 'posted';
  row.postedCash = Math.min(cash, row.cash);
  row.postedUnits = Math.min(units, row.units);
};
