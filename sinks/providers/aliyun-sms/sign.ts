import { createHmac } from 'node:crypto';

/**
 * Aliyun's RPC signature, version 1.0 (document "RPC mechanism, request syntax and signature method V2"):
 * Base64(HMAC-SHA1(secret + "&", METHOD & encode("/") & encode(sorted query))).
 */
export const sign = (
  method: 'GET' | 'POST',
  parameters: Readonly<Record<string, string>>,
  accessKeySecret: string,
): string =>
  createHmac('sha1', `${accessKeySecret}&`)
    .update(`${method}&%2F&${encodeAgain(canonicalQuery(parameters))}`)
    .digest('base64');

/** Percent-encodes what is percent-encoded already: only these three of its characters need it. */
const encodeAgain = (query: string): string =>
  query.replaceAll('%', '%25').replaceAll('&', '%26').replaceAll('=', '%3D');

/** Parameters sorted by name (byte order), without Signature, each name and value percent-encoded. */
export const canonicalQuery = (parameters: Readonly<Record<string, string>>): string =>
  Object.keys(parameters)
    .filter((name) => name !== 'Signature')
    .sort()
    .map((name) => `${percentEncode(name)}=${percentEncode(parameters[name] ?? '')}`)
    .join('&');

/** RFC 3986: encodeURIComponent leaves ! ' ( ) * as they are, Aliyun doesn't. */
export const percentEncode = (text: string): string =>
  encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
