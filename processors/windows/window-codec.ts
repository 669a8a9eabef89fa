import type { Codec } from '../../schemas/record.js';
import { FORMATS } from '../../schemas/formats.js';
import { internalJson } from '../../schemas/internal-codec.js';
import { openCounts, packCounts } from './counts.js';
import type { MergeState } from './merge-state.js';
import type { Partial, WindowPartial } from './partial.js';
import { packSketch } from './sketch.js';
import type { SourceState } from './source-state.js';

/** A partial with its numbers as text: it is written in nearly every transaction, and JSON made it cost 100 µs. */
interface Packed extends Omit<Partial, 'is' | 'counts'> {
  readonly is: 'packed';
  readonly counts: string;
}

const pack = (partial: Partial): Packed => ({
  ...partial,
  is: 'packed',
  counts: packCounts(partial.counts),
  latency: partial.latency === null ? null : packSketch(partial.latency),
  queueAge: partial.queueAge === null ? null : packSketch(partial.queueAge),
});

const packing = <V extends { readonly is: string }>(): Codec<V | Partial> => {
  const json = internalJson<V | Packed>(FORMATS.windows);
  const isPartial = (value: V | Partial): value is Partial => value.is === 'partial';
  const isPacked = (value: V | Packed): value is Packed => value.is === 'packed';
  return {
    encode: (value) => json.encode(isPartial(value) ? pack(value) : value),
    decode: (bytes) => {
      const value = json.decode(bytes);
      return isPacked(value)
        ? { ...value, is: 'partial', counts: openCounts(value.counts) }
        : value;
    },
  };
};

/** What lies on internal.windows.partials. */
export const partialsCodec = (): Codec<WindowPartial> => packing();
/** What lies on internal.windows.open. */
export const openCodec = (): Codec<Partial | SourceState> => packing();
/** What lies on internal.windows.merging. */
export const mergingCodec = (): Codec<MergeState> => packing();
