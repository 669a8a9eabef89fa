import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Of the peer's JSON line (its README says what each means). */
export interface PeerResult {
  readonly perSecondFromStart: number;
  readonly missing: number;
  readonly duplicates: number;
}

export const PEER_DOES_NOT =
  'the peer makes no provider calls behind claims, keeps no ledger outside its own state, asks no Redis, ' +
  'encodes smaller records, and has one topic for all channels';

/** @throws Error with what to do where the peer is not to be had */
export const peerFolder = (variables: NodeJS.ProcessEnv): string => {
  const folder = variables['MILLRACE_PEER_DIR'];
  if (folder === undefined || !existsSync(path.join(folder, 'run.sh'))) {
    throw new Error(
      '--peer needs MILLRACE_PEER_DIR: the folder of the Kafka Streams peer, where run.sh is',
    );
  }
  return folder;
};

/** Of its JSON line for a latency run. */
export interface PeerLatency {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  readonly missing: number;
}

/** Its README: commits as often as it may, and sends at once. */
const TUNED = '--commit-ms 10 --linger-ms 0';

/** Throughput on the same broker. */
export const runPeer = async (
  folder: string,
  brokers: string,
  messages: number,
): Promise<PeerResult> =>
  (await peer(folder, brokers, ['throughput', messages.toString()])) as PeerResult;

/** Latency at the same rate on the same broker, as it comes and tuned for latency. */
export const runPeerLatency = async (
  folder: string,
  brokers: string,
  { rate, seconds, tuned }: { rate: number; seconds: number; tuned: boolean },
): Promise<PeerLatency> =>
  (await peer(
    folder,
    brokers,
    ['latency', rate.toString(), seconds.toString()],
    tuned ? TUNED : '',
  )) as PeerLatency;

/** Builds the peer if need be and runs it fused, exactly once; answers its JSON line. */
const peer = async (
  folder: string,
  brokers: string,
  what: readonly string[],
  flags = '',
): Promise<unknown> => {
  if (!existsSync(path.join(folder, 'target', 'ks-peer.jar'))) {
    await run('mvn', ['-q', 'package', '-DskipTests'], { cwd: folder });
  }
  const { stdout } = await run('./run.sh', [...what, 'fused', 'exactly_once_v2'], {
    cwd: folder,
    env: { ...process.env, BOOTSTRAP: brokers, ...(flags !== '' && { APP_FLAGS: flags }) },
    maxBuffer: 2 ** 24,
  });
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
};
