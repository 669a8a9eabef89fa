import { laneOf } from '../../processors/lane.js';
import type { Lane } from '../../schemas/generated/records.js';
import type { Recovery } from '../../sinks/postgres/recovery.js';
import { Tally } from '../replay/figures.js';
import type { Select } from '../replay/selection.js';
import type { Candidate, Care } from './candidate.js';
import { careful } from './candidate.js';
import { released } from './original.js';

export interface ParkedFilter {
  readonly why: string | null;
  readonly lane: Lane | null;
}

/** Releases what waits for a person. What waits for a time comes by itself, and never before it. */
export const parkedSelect =
  ({ why, lane }: ParkedFilter, care: Care, recovery: Recovery): Select =>
  (batch) => {
    const now = Date.now();
    const stay = new Tally();
    const candidates: Candidate[] = [];
    for (const read of batch) {
      const { decoded } = read;
      const back = decoded.is === 'Parked' ? released(read, decoded.value) : null;
      if (decoded.is !== 'Parked' || back === null) stay.add('unreadable');
      else if (
        (why !== null && decoded.value.why !== why) ||
        (lane !== null && laneOf(read.at.topic) !== lane)
      )
        stay.add('filtered');
      else if ((decoded.value.until ?? 0) > now) stay.add('scheduled');
      else candidates.push({ read, back });
    }
    return careful(candidates, stay, care, recovery, now);
  };
