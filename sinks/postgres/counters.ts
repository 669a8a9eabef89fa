/** granted = available + pending + posted, always. */
export interface Counters {
  readonly granted: bigint;
  readonly available: bigint;
  readonly pending: bigint;
  readonly posted: bigint;
}

/** The counters' columns of `budgets`. */
export interface CountersRow {
  readonly cash_granted: bigint;
  readonly cash_available: bigint;
  readonly cash_pending: bigint;
  readonly cash_posted: bigint;
  readonly pv_granted: bigint;
  readonly pv_available: bigint;
  readonly pv_pending: bigint;
  readonly pv_posted: bigint;
}

/** Micros. */
export const cashOf = (row: CountersRow): Counters => ({
  granted: row.cash_granted,
  available: row.cash_available,
  pending: row.cash_pending,
  posted: row.cash_posted,
});

/** Units. */
export const pvOf = (row: CountersRow): Counters => ({
  granted: row.pv_granted,
  available: row.pv_available,
  pending: row.pv_pending,
  posted: row.pv_posted,
});
