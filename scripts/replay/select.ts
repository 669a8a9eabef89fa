import type { AgainStage } from '../../topologies/topic-names.js';
import type { Returning } from '../../topologies/reenter.js';
import type { TakenOffsets } from '../../topologies/taken-offsets.js';
import { Tally } from './figures.js';
import type { RefusedRecords } from './refused.js';
import type { Select } from './selection.js';
import { requestIn, returning } from './source.js';
import type { Where } from './where.js';

/** What a replay must know of its records before it takes the first. */
export interface Ends {
  /** As it stood before the refusals were read: what was not taken then may be refused since. */
  readonly taken: TakenOffsets;
  readonly refused: RefusedRecords;
}

/** Replay: every message of the range for which --where holds, and which was not refused. */
export const replaySelect =
  (to: AgainStage, where: Where, ends: () => Ends): Select =>
  (batch) => {
    const { taken, refused } = ends();
    const chosen: Returning[] = [];
    const stay = new Tally();
    let unanswered: string | undefined;
    for (const record of batch) {
      const request = requestIn(record);
      const back = request === null ? null : returning(record, to);
      if (request === null || back === null) {
        stay.add('unreadable');
        continue;
      }
      const { at, key, timestamp, decoded } = record;
      const value = decoded.is === 'Unreadable' ? null : decoded.value;
      const judgement = where({ at, key, timestamp, record: value, request });
      if (judgement === 'yes') {
        if (!taken.has(at)) stay.add('ahead');
        // It waits on parked, from where it comes by itself: put back now, it would be sent before its time.
        else if ((request.notBefore ?? 0) > Date.now()) stay.add('notYet');
        else if (refused.has(back)) stay.add('refused');
        else chosen.push(back);
      } else if (judgement === 'no') stay.add('filtered');
      else {
        stay.add('unanswered');
        unanswered ??= judgement.unanswered;
      }
    }
    return Promise.resolve({
      returning: chosen,
      stay: stay.figures,
      ...(unanswered !== undefined && { unanswered }),
    });
  };
