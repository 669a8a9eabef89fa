import type { Lane } from '../../schemas/generated/records.js';
import type { RawRecord } from '../../topologies/runtime/raw-record.js';
import { DEAD_LETTER_HEADERS, OMITTED_VALUE } from '../../topologies/runtime/dead-letters.js';
import type { Decoded } from '../read/decoded.js';
import { Tally } from '../replay/figures.js';
import type { Select } from '../replay/selection.js';
import type { Candidate, Care } from './candidate.js';
import { careful } from './candidate.js';
import { placeOf } from './fetch.js';
import { asOriginal } from './original.js';
import type { Sources } from './refused.js';

export interface DeadLetterFilter {
  /** Its error code. */
  readonly code: string | null;
  readonly lane: Lane | null;
}

/** The record that a dead letter was made of, as far as the letter has it. null: no letter of ours. */
const original = (letter: RawRecord): RawRecord | null => {
  const text = (name: string): string => letter.headers[name]?.toString() ?? '';
  const at = {
    topic: text(DEAD_LETTER_HEADERS.topic),
    partition: Number(text(DEAD_LETTER_HEADERS.partition)),
    offset: Number(text(DEAD_LETTER_HEADERS.offset)),
  };
  return at.topic === '' || !Number.isSafeInteger(at.partition) || !Number.isSafeInteger(at.offset)
    ? null
    : { ...letter, at };
};

/** Redrives dead letters: the original bytes go back to their stage. What still cannot be decoded stays. */
export const deadLetterSelect =
  (
    { code, lane }: DeadLetterFilter,
    care: Care,
    { originals, recovery, ...known }: Sources,
  ): Select =>
  async (batch) => {
    const stay = new Tally();
    const chosen: { readonly read: Decoded; readonly raw: RawRecord; readonly omitted: boolean }[] =
      [];
    for (const read of batch) {
      const raw = original(read);
      if (raw === null) stay.add('unreadable');
      else if (
        (code !== null && read.headers[DEAD_LETTER_HEADERS.code]?.toString() !== code) ||
        (lane !== null && !raw.at.topic.endsWith(`.${lane}`))
      )
        stay.add('filtered');
      else chosen.push({ read, raw, omitted: read.headers[OMITTED_VALUE] !== undefined });
    }
    const there = await originals.at(
      chosen.flatMap(({ raw, omitted }) => (omitted ? [raw.at] : [])),
    );
    const whole = chosen.map(({ read, raw, omitted }) => ({
      read,
      raw: omitted ? there.get(placeOf(raw.at)) : raw,
    }));
    await known.codecs.prepare(
      whole.flatMap(({ raw }) =>
        raw !== undefined &&
        known.table.some(({ name, record }) => name === raw.at.topic && record !== null)
          ? [raw.value]
          : [],
      ),
    );
    const candidates: Candidate[] = [];
    for (const { read, raw } of whole) {
      if (raw === undefined) {
        stay.add('gone');
        continue;
      }
      const back = asOriginal(raw, null, known);
      if (back === 'elsewhere' || back === 'undecodable') stay.add(back);
      else candidates.push({ read, back });
    }
    return careful(candidates, stay, care, recovery, Date.now());
  };
