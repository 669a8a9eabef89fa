import type { ClientSettings } from './rdkafka-client.js';
import type { GroupProtocol, SessionTiming } from './transaction-session.js';

/** What every consumer group of ours is joined with: committed records only, partitions handed over one by one. */
export const groupSettings = (
  groupId: string,
  protocol: GroupProtocol,
  { sessionTimeoutMs }: Pick<SessionTiming, 'sessionTimeoutMs'>,
): ClientSettings => ({
  'group.id': groupId,
  'isolation.level': 'read_committed',
  // Above the longest batch (rule 11); librdkafka's own default, said here because it must stay so.
  'max.poll.interval.ms': 300_000,
  ...(protocol === 'consumer'
    ? { 'group.protocol': 'consumer' }
    : {
        'partition.assignment.strategy': 'cooperative-sticky',
        'session.timeout.ms': sessionTimeoutMs,
        'heartbeat.interval.ms': Math.floor(sessionTimeoutMs / 4),
      }),
});
