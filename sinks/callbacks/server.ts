import { createHash, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { EpochMs } from '../../schemas/brand.js';
import { PipelineError } from '../../schemas/error.js';
import type { ProviderReceipt } from '../../schemas/generated/records.js';
import type { ReceiptFormat } from '../providers/provider.js';

/** How one push ended, for metrics. */
export type PushResult =
  'taken' | 'not_found' | 'not_allowed' | 'too_large' | 'unreadable' | 'unavailable';

export interface CallbackOptions {
  /** Default loopback: put a proxy with TLS before it. */
  readonly host?: string;
  /** 0: any free one. */
  readonly port: number;
  /** A configured provider that pushes receipts, by name. */
  readonly provider: (
    name: string,
  ) => { readonly channel: string; readonly format: ReceiptFormat } | undefined;
  /** Resolves once the receipts are safe; only then is the provider told so. Rejected: it pushes again later. */
  readonly deliver: (receipts: readonly ProviderReceipt[]) => Promise<void>;
  /** Shared secret that the path must end with: /receipts/<provider>/<token>. Absent: none is asked. */
  readonly token?: string;
  readonly now?: () => EpochMs;
  readonly pushed?: (provider: string, result: PushResult, receipts: number) => void;
}

export interface CallbackServer {
  readonly port: number;
  /** Takes no more pushes, finishes those under way within 5 s. */
  readonly close: () => Promise<void>;
}

/** Providers push a few hundred reports at once, about 200 bytes each. */
const MAX_BODY_BYTES = 1024 * 1024;
/** A push that takes longer has a broken sender; it comes again. */
const REQUEST_TIMEOUT_MS = 10_000;
const CLOSE_TIMEOUT_MS = 5_000;

const STATUS: Readonly<Record<PushResult, number>> = {
  taken: 200,
  not_found: 404,
  not_allowed: 405,
  too_large: 413,
  unreadable: 400,
  unavailable: 503,
};

/**
 * The endpoint that carriers push their receipts to: POST /receipts/<provider>. Pushes may repeat and come in any
 * order; the receipts stage decides each once. What goes back never holds anything of what came in.
 */
export const startCallbacks = async (options: CallbackOptions): Promise<CallbackServer> => {
  const server = createServer((request, response) => {
    void handle(request, options).then(
      ({ result, body }) => {
        // While closing, a connection kept alive would hold the server open.
        response.shouldKeepAlive = server.listening;
        answer(response, result, body);
      },
      () => {
        // The connection broke while it was read: nobody waits for an answer.
        response.destroy();
      },
    );
  });
  server.requestTimeout = REQUEST_TIMEOUT_MS;
  server.headersTimeout = REQUEST_TIMEOUT_MS / 2;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host ?? '127.0.0.1', resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        const force = setTimeout(() => {
          server.closeAllConnections();
        }, CLOSE_TIMEOUT_MS);
        server.close(() => {
          clearTimeout(force);
          resolve();
        });
        server.closeIdleConnections();
      }),
  };
};

interface Handled {
  readonly result: PushResult;
  readonly body?: string;
}

const handle = async (request: IncomingMessage, options: CallbackOptions): Promise<Handled> => {
  const target = targetOf(request.url ?? '', options);
  const count = (result: PushResult, receipts = 0): void => {
    options.pushed?.(target?.name ?? 'other', result, receipts);
  };
  const refuse = (result: PushResult): Handled => {
    count(result);
    return { result };
  };
  if (target === null) return refuse('not_found');
  if (request.method !== 'POST') return refuse('not_allowed');
  const body = await read(request);
  if (body === null) return refuse('too_large');
  const receivedAt = (options.now ?? Date.now)();
  let receipts: readonly ProviderReceipt[];
  try {
    receipts = target.format.parse(body).map((report) => ({
      ...report,
      provider: target.name,
      channel: target.channel,
      origin: 'carrier' as const,
      receivedAt,
      deferrals: 0,
      dueAt: null,
    }));
  } catch (error) {
    if (error instanceof PipelineError && error.verdict === 'dead-letter')
      return refuse('unreadable');
    throw error;
  }
  try {
    if (receipts.length > 0) await options.deliver(receipts);
  } catch {
    // Not acknowledged, so it is pushed again: nothing is lost while Kafka is away.
    return refuse('unavailable');
  }
  count('taken', receipts.length);
  return { result: 'taken', body: target.format.acknowledgement };
};

const targetOf = (url: string, { provider, token }: CallbackOptions) => {
  const [path = ''] = url.split('?');
  const [, root, name = '', secret, ...rest] = path.split('/');
  const found = provider(name);
  if (root !== 'receipts' || found === undefined || rest.length > 0) return null;
  if (token !== undefined ? !same(secret ?? '', token) : secret !== undefined) return null;
  return { name, ...found };
};

/** In a time that tells nothing of how much of it was right. */
const same = (one: string, other: string): boolean =>
  timingSafeEqual(
    createHash('sha256').update(one).digest(),
    createHash('sha256').update(other).digest(),
  );

/** null: too large. The rest is still read, so that the sender gets its answer. */
const read = async (request: IncomingMessage): Promise<Buffer | null> => {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes <= MAX_BODY_BYTES) chunks.push(chunk);
    // Far beyond: cut it off rather than read for ever.
    else if (bytes > 16 * MAX_BODY_BYTES) throw new Error('endless body');
  }
  return bytes > MAX_BODY_BYTES ? null : Buffer.concat(chunks);
};

const answer = (response: ServerResponse, result: PushResult, body?: string): void => {
  const text = body ?? JSON.stringify({ error: result });
  response.writeHead(STATUS[result], {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
  });
  response.end(text);
};
