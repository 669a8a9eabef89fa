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

/** Builds the peer if need be and runs it fused, exactly once, on the same broker. */
export const runPeer = async (
  folder: string,
  brokers: string,
  messages: number,
): Promise<PeerResult> => {
  if (!existsSync(path.join(folder, 'target', 'ks-peer.jar'))) {
    await run('mvn', ['-q', 'package', '-DskipTests'], { cwd: folder });
  }
  const { stdout } = await run(
    './run.sh',
    ['throughput', messages.toString(), 'fused', 'exactly_once_v2'],
    {
      cwd: folder,
      env: { ...process.env, BOOTSTRAP: brokers },
      maxBuffer: 2 ** 24,
    },
  );
  const line = stdout.trim().split('\n').at(-1) ?? '';
  return JSON.parse(line) as PeerResult;
};
