/** Personal data in records: recipients' addresses and the values put into templates. */
const PERSONAL = new Set(['phone', 'email', 'openId', 'userId', 'pushTokens', 'params']);

/** Enough to recognise, too little to use: 138****01. */
export const maskText = (text: string): string =>
  text.length <= 4 ? '****' : `${text.slice(0, 3)}****${text.slice(-2)}`;

const maskAll = (value: unknown): unknown => {
  if (typeof value === 'string') return maskText(value);
  if (Array.isArray(value)) return value.map(maskAll);
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, maskAll(inner)]));
  return value;
};

/** A record with its personal data masked, however deep it is embedded. */
export const masked = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(masked);
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [
      name,
      PERSONAL.has(name) ? maskAll(inner) : masked(inner),
    ]),
  );
};
