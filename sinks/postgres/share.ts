/**
 * What is left of a budget: available ÷ the balance right after its last recharge (a grant or an incoming transfer), 0 to
 * 1. Void and refunds may bring back more than that balance: 1. null: never recharged.
 */
export const shareOf = (available: bigint, rechargedTo: bigint | null): number | null =>
  rechargedTo === null ? null : Math.min(1, Number(available) / Number(rechargedTo));
