import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';

/** Kafka's own file; leaderId -1: none is elected at the moment. */
const quorumState = z.object({ leaderId: z.number().int(), leaderEpoch: z.number().int() });

/**
 * The node that is the active controller, by the newest election that any node wrote down. A broker that is asked
 * (DescribeCluster) names any broker at all instead (KIP-590).
 * @param folders where each node keeps its log
 * @returns its id; null: none is elected
 */
export const activeController = (folders: readonly string[]): number | null => {
  const [newest] = folders
    .map((folder) => path.join(folder, '__cluster_metadata-0', 'quorum-state'))
    .filter((file) => existsSync(file))
    .map((file) => quorumState.parse(JSON.parse(readFileSync(file, 'utf8'))))
    .sort((a, b) => b.leaderEpoch - a.leaderEpoch);
  return newest === undefined || newest.leaderId < 0 ? null : newest.leaderId;
};
