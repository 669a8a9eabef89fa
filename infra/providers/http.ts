import type { IncomingMessage, ServerResponse } from 'node:http';

const MAX_BODY_BYTES = 1024 * 1024;

/** @throws where the body is larger than 1 MiB, or the connection breaks */
export const read = async (incoming: IncomingMessage): Promise<Buffer> => {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw new Error('too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
};

/** undefined: not JSON. */
export const jsonOf = (body: Buffer): unknown => {
  try {
    return JSON.parse(body.toString('utf8')) as unknown;
  } catch {
    return undefined;
  }
};

export const reply = (
  outgoing: ServerResponse,
  status: number,
  body: string,
  afterMs = 0,
  headers?: Readonly<Record<string, string>>,
): void => {
  const send = (): void => {
    outgoing.writeHead(status, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      ...headers,
    });
    outgoing.end(body);
  };
  if (afterMs < 1) send();
  else setTimeout(send, afterMs);
};

/** An endpoint that is away: an error, a cut connection, or silence until the client gives up. */
export const away = (outage: 'error' | 'hang' | 'reset', outgoing: ServerResponse): void => {
  if (outage === 'error') reply(outgoing, 503, 'Service Unavailable');
  if (outage === 'reset') outgoing.destroy();
};
