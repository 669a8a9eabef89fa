import type { Database } from '../../sinks/postgres/pool.js';
import type { MessageKey } from './accounting.js';
import { messageKey } from './accounting.js';

/** Money that is reserved and not resolved, by message. */
export interface PendingReservation {
  readonly message: MessageKey;
  readonly cashMicros: bigint;
  readonly units: number;
}

interface Row {
  readonly tenant_id: string;
  readonly message_id: string;
  readonly cash: bigint;
  readonly units: number;
}

export const pendingReservations = async (
  database: Database,
): Promise<readonly PendingReservation[]> => {
  const rows = await database.query<Row>({
    name: 'demo-pending',
    text: `select tenant_id, message_id::text, cash, units from reservations where state = 'pending'`,
  });
  return rows.map((row) => ({
    message: messageKey(row.tenant_id, row.message_id),
    cashMicros: row.cash,
    units: row.units,
  }));
};
