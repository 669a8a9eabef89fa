import { messageId, tenantId } from '../../schemas/brand.js';
import type { Format } from '../../schemas/formats.js';
import { HEADER_BYTES, versioned } from '../../schemas/internal-codec.js';
import { asError, PipelineError } from '../../schemas/error.js';
import type { Codec } from '../../schemas/record.js';
import type { Spend, SpendBatch } from './spend.js';

/** By column, in the order of the spends: names are written once. Amounts are text: JSON's numbers are doubles. */
interface Columns {
  readonly topic: string;
  readonly partition: number;
  readonly tenants: readonly string[];
  /** Place in `tenants`. */
  readonly tenant: readonly number[];
  readonly lease: readonly number[];
  readonly number: readonly number[];
  readonly message: readonly string[];
  readonly generation: readonly number[];
  readonly createdAt: readonly number[];
  readonly expiresAt: readonly number[];
  readonly cash: readonly string[];
  readonly units: readonly number[];
  readonly cashCap: readonly (string | null)[];
  readonly unitsCap: readonly (number | null)[];
  readonly offset: readonly number[];
}

const columnsOf = ({ source, spends }: SpendBatch): Columns => {
  const tenants = [...new Set(spends.map((one) => one.tenantId))];
  return {
    topic: source.topic,
    partition: source.partition,
    tenants,
    tenant: spends.map((one) => tenants.indexOf(one.tenantId)),
    lease: spends.map((one) => one.lease),
    number: spends.map((one) => one.number),
    message: spends.map((one) => one.messageId),
    generation: spends.map((one) => one.generation),
    createdAt: spends.map((one) => one.createdAt),
    expiresAt: spends.map((one) => one.expiresAt),
    cash: spends.map((one) => one.cashMicros.toString()),
    units: spends.map((one) => one.units),
    cashCap: spends.map((one) => one.cashCapMicros?.toString() ?? null),
    unitsCap: spends.map((one) => one.unitsCap),
    offset: spends.map((one) => one.offset),
  };
};

const at = <T>(column: readonly T[], place: number): T => {
  const value = column[place];
  if (value === undefined) throw new Error(`a column of spends ends before ${String(place + 1)}`);
  return value;
};

const batchOf = (columns: Columns): SpendBatch => ({
  source: { topic: columns.topic, partition: columns.partition },
  spends: columns.message.map((message, place): Spend => {
    const cashCap = at(columns.cashCap, place);
    return {
      lease: at(columns.lease, place),
      number: at(columns.number, place),
      tenantId: tenantId(at(columns.tenants, at(columns.tenant, place))),
      messageId: messageId(message),
      generation: at(columns.generation, place),
      createdAt: at(columns.createdAt, place),
      expiresAt: at(columns.expiresAt, place),
      cashMicros: BigInt(at(columns.cash, place)),
      units: at(columns.units, place),
      cashCapMicros: cashCap === null ? null : BigInt(cashCap),
      unitsCap: at(columns.unitsCap, place),
      offset: at(columns.offset, place),
    };
  }),
});

const read = (bytes: Buffer): unknown => {
  try {
    return batchOf(JSON.parse(bytes.toString('utf8', HEADER_BYTES)) as Columns);
  } catch (cause) {
    throw new PipelineError('undecodable', `spends: ${asError(cause).message}`, cause);
  }
};

/** Values of `internal.spends.*`. Not internalJson: what it does for bigints costs a call for each number here. */
export const spendCodec = (format: Format): Codec<SpendBatch> =>
  versioned(
    format,
    (batch) => {
      const text = JSON.stringify(columnsOf(batch));
      const bytes = Buffer.allocUnsafe(HEADER_BYTES + Buffer.byteLength(text));
      bytes.write(text, HEADER_BYTES);
      return bytes;
    },
    read,
    undefined,
  );
