import { PipelineError } from '../schemas/error.js';
import { LANES } from '../schemas/generated/records.js';
import type { Lane } from '../schemas/generated/records.js';

/** The lane that a topic belongs to: the topic's last part, never the record's word. */
export const laneOf = (topic: string): Lane => {
  const last = topic.slice(topic.lastIndexOf('.') + 1);
  const lane = LANES.find((name) => name === last);
  if (lane === undefined) throw new PipelineError('defect', `topic ${topic} names no lane`);
  return lane;
};
