import type { ProviderConfig, TemplateConfig } from '../../schemas/config.js';
import { microsOf } from '../../schemas/config.js';
import { PipelineError } from '../../schemas/error.js';
import type { Settlement, SettlementKind } from '../../schemas/generated/records.js';
import type { AttemptRow } from './receipt-log.js';

/** What acceptance of a held attempt costs: it was held without a price, so it is reckoned as route does. */
export interface Price {
  readonly provider: ProviderConfig | undefined;
  readonly template: TemplateConfig | undefined;
}

/**
 * The settlement of a transition, never more than was reserved or posted.
 * @throws PipelineError undecidable where nobody knows the amount (dead letter): a guess would be money
 */
export const amounts = (kind: SettlementKind, row: AttemptRow, price: Price): Settlement => {
  const common = { currency: row.reservation?.currency ?? row.currency, leaseId: row.leaseId };
  const nothing: Settlement = { kind: 'none', cashMicros: 0n, units: 0, ...common };
  switch (kind) {
    case 'none':
      return nothing;
    case 'reverse':
      if (row.postedCashMicros === 0n && row.postedUnits === 0) return nothing;
      return {
        kind,
        cashMicros: row.postedCashMicros,
        units: row.postedUnits,
        ...common,
      };
    case 'void': {
      const { reservation } = row;
      if (reservation === null) return unknownAmount(kind, row);
      return { kind, cashMicros: reservation.cashMicros, units: reservation.units, ...common };
    }
    case 'post': {
      const { reservation } = row;
      const { provider, template } = price;
      if (reservation === null || provider === undefined) return unknownAmount(kind, row);
      const units = Math.min(template?.units ?? reservation.units, reservation.units);
      const cost = microsOf(provider.price) * BigInt(units);
      return {
        kind,
        cashMicros: cost < reservation.cashMicros ? cost : reservation.cashMicros,
        units,
        ...common,
      };
    }
  }
};

const unknownAmount = (kind: SettlementKind, row: AttemptRow): never => {
  throw new PipelineError(
    'undecidable',
    `cannot ${kind} held attempt ${String(row.attempt)} of message ${row.messageId} of ${row.tenantId}: its reservation or its provider ${row.channel}/${row.provider} is not known any more`,
  );
};
