import { numberArray, textArray } from './array-literal.js';
import { type PartitionOwnership, stillOwned } from './partition-ownership.js';
import type { Database } from './pool.js';

/** As processors/budget-reserve/leases.ts has it, with what each field means. */
interface Holder {
  readonly topic: string;
  readonly partition: number;
  readonly tenantId: string;
  readonly businessLine: string;
  readonly lease: number | null;
}

interface Ask extends Holder {
  readonly currency: string;
  readonly grantNo: number;
  readonly spends: number;
  readonly needCash: bigint;
  readonly needUnits: number;
  readonly wantCash: bigint;
  readonly wantUnits: number;
}

interface Return extends Holder {
  readonly returnNo: number;
  readonly cashMicros: bigint;
  readonly units: number;
  readonly grantNo: number;
}

type Answer =
  | {
      readonly kind: 'granted';
      readonly lease: number;
      readonly grantNo: number;
      readonly cashMicros: bigint;
      readonly units: number;
    }
  | { readonly kind: 'direct' };

interface Row {
  readonly place: number;
  readonly outcome: Answer['kind'];
  readonly lease_id: number;
  readonly grant_no: bigint;
  readonly cash: bigint;
  readonly units: bigint;
}

const GRANT = {
  name: 'grant-leases',
  text: `select * from grant_leases(${Array.from({ length: 15 }, (_, n) => `$${String(n + 1)}`).join(', ')})`,
};
const RETURN = {
  name: 'return-leases',
  text: 'select * from return_leases($1, $2, $3, $4, $5, $6, $7, $8, $9)',
};

const holders = (of: readonly Holder[]): readonly string[] => [
  textArray(of.map(({ topic }) => topic)),
  numberArray(of.map(({ partition }) => partition)),
  textArray(of.map(({ tenantId }) => tenantId)),
  textArray(of.map(({ businessLine }) => businessLine)),
];

/** Leased mode of the ledger: one call for all that a batch needs, and one for all that is returned. */
export const postgresLeases = (database: Database, ownership: PartitionOwnership) => ({
  async grant(asks: readonly Ask[]): Promise<readonly Answer[]> {
    const rows = await database.query<Row>(GRANT, [
      ...ownership.parameters(asks),
      ...holders(asks),
      textArray(asks.map(({ currency }) => currency)),
      numberArray(asks.map(({ lease }) => lease)),
      numberArray(asks.map(({ grantNo }) => grantNo)),
      numberArray(asks.map(({ spends }) => spends)),
      numberArray(asks.map(({ needCash }) => needCash)),
      numberArray(asks.map(({ needUnits }) => needUnits)),
      numberArray(asks.map(({ wantCash }) => wantCash)),
      numberArray(asks.map(({ wantUnits }) => wantUnits)),
    ]);
    const answers: Answer[] = asks.map(() => ({ kind: 'direct' }));
    for (const { place, outcome, lease_id, grant_no, cash, units } of stillOwned(rows))
      if (outcome === 'granted')
        answers[place - 1] = {
          kind: outcome,
          lease: lease_id,
          grantNo: Number(grant_no),
          cashMicros: cash,
          units: Number(units),
        };
    return answers;
  },

  async giveBack(returns: readonly Return[]): Promise<void> {
    await database.query(RETURN, [
      ...holders(returns),
      numberArray(returns.map(({ lease }) => lease)),
      numberArray(returns.map(({ returnNo }) => returnNo)),
      numberArray(returns.map(({ cashMicros }) => cashMicros)),
      numberArray(returns.map(({ units }) => units)),
      numberArray(returns.map(({ grantNo }) => grantNo)),
    ]);
  },
});
