import { randomUUID } from 'node:crypto';
import { asError, PipelineError } from '../../schemas/error.js';
import type { Coordinates } from '../../schemas/record.js';
import type { RawRecord } from '../../topologies/runtime/raw-record.js';
import { partitionId } from '../../topologies/runtime/raw-record.js';
import { OffsetReader } from '../../topologies/runtime/offset-reader.js';
import type { ClientSettings } from '../../topologies/runtime/rdkafka-client.js';

const TRIES = 4;

/** A record's place as a key. */
export const placeOf = ({ topic, partition, offset }: Coordinates): string =>
  `${partitionId({ topic, partition })}/${offset.toString()}`;

/** Reads the records that others only point at. */
export class Originals {
  private readonly reader: OffsetReader;

  constructor(settings: ClientSettings) {
    this.reader = new OffsetReader(settings, `millrace-read-${randomUUID()}`);
  }

  /**
   * By placeOf; what the topics no longer hold is absent.
   * @throws PipelineError kafka_unavailable
   */
  async at(places: readonly Coordinates[]): Promise<ReadonlyMap<string, RawRecord>> {
    const partitions = new Map<
      string,
      { topic: string; partition: number; offsets: Set<number> }
    >();
    for (const { topic, partition, offset } of places) {
      const id = partitionId({ topic, partition });
      const of = partitions.get(id) ?? { topic, partition, offsets: new Set<number>() };
      of.offsets.add(offset);
      partitions.set(id, of);
    }
    const found = new Map<string, RawRecord>();
    for (const { topic, partition, offsets } of partitions.values()) {
      const ascending = [...offsets].sort((a, b) => a - b);
      for (const record of await this.patiently({ topic, partition }, ascending))
        found.set(placeOf(record.at), record);
    }
    return found;
  }

  close(): Promise<void> {
    return this.reader.close();
  }

  private async patiently(
    from: { readonly topic: string; readonly partition: number },
    offsets: readonly number[],
  ): Promise<readonly RawRecord[]> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.reader.read(from, offsets);
      } catch (thrown) {
        if (tries < TRIES) continue;
        throw new PipelineError(
          'kafka_unavailable',
          `reading ${partitionId(from)}: ${asError(thrown).message}`,
          thrown,
        );
      }
    }
  }
}
