import { Agent } from 'undici';

/** How InfluxDB is reached; 1.8, 2.x and 3.x answer to the same three. */
export interface InfluxSettings {
  readonly url: string;
  /** 2.x: a token that may read and write the bucket. 1.8: user:password. */
  readonly token: string;
  /** 2.x: the organisation. 1.8 takes anything. */
  readonly org: string;
  /** 2.x: the bucket. 1.8: database/retention policy, e.g. millrace/autogen. */
  readonly bucket: string;
  /** PEM of the authority to trust instead of the system's. */
  readonly ca?: string | undefined;
  /** Of one request. Default 10 s. */
  readonly timeoutMs?: number;
}

export const DEFAULT_TIMEOUT_MS = 10_000;

/** For undici's requests; absent: the system's authorities. Shared, so that connections are used again. */
export const dispatcherOf = ({ ca }: Pick<InfluxSettings, 'ca'>): Agent | undefined =>
  ca === undefined ? undefined : new Agent({ connect: { ca } });

/**
 * Where InfluxQL finds a bucket. 2.x maps a bucket named db/rp to that database and policy, and any other to a
 * database of its name with the policy autogen.
 */
export const databaseOf = (bucket: string): { readonly db: string; readonly rp: string } => {
  const slash = bucket.indexOf('/');
  return slash === -1
    ? { db: bucket, rp: 'autogen' }
    : { db: bucket.slice(0, slash), rp: bucket.slice(slash + 1) };
};
