import type {
  BudgetReserved,
  MessageDeduped,
  MessageRouted,
} from '../schemas/generated/records.js';

/** A message on its way after dedupe. Each record carries the one before it whole: routed, in it reserved, in it deduped. */
export type Carrying = MessageDeduped | BudgetReserved | MessageRouted;

/** What dedupe let pass, in whichever record carries it. */
export const dedupedIn = (record: Carrying): MessageDeduped => {
  if ('reserved' in record) return record.reserved.deduped;
  return 'deduped' in record ? record.deduped : record;
};
