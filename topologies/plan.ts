import type { RecipientHash } from '../processors/recipient-hash.js';
import type { Lane } from '../schemas/generated/records.js';
import { memoryCodecs } from '../schemas/topic-codecs.js';
import { comingBack } from './again.js';
import { intake, sending } from './delivery.js';
import { describeTopologies, type TaskDescription } from './describe.js';
import { measurement, receiving } from './measurement.js';
import { resolving } from './resolution.js';
import { DEFAULT_PARTITIONS } from './topic-table.js';
import { typedTopics } from './topics.js';

export interface PlanOptions {
  readonly prefix: string;
  readonly channels: readonly string[];
  readonly tenantsWithOwnIngest: readonly string[];
  readonly lanes: readonly Lane[];
}

/** Everything that a full deployment runs, described without a broker or registry. */
export const plan = ({
  prefix,
  channels,
  tenantsWithOwnIngest,
  lanes,
}: PlanOptions): TaskDescription[] => {
  const topics = typedTopics({ prefix, channels, tenantsWithOwnIngest, codecs: memoryCodecs() });
  const unused: RecipientHash = () => '';
  const options = { recipientHash: unused, topicPrefix: prefix };
  return describeTopologies([
    ...lanes.flatMap((lane) => [
      intake(lane, topics, options),
      sending(lane, topics, options),
      comingBack(lane, topics, options),
    ]),
    receiving(topics),
    resolving(topics, options),
    measurement(topics, {
      feedbackPartitions: DEFAULT_PARTITIONS,
      partialsPartitions: DEFAULT_PARTITIONS,
    }),
  ]);
};
