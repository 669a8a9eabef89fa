/** Recipients' addresses: recognisable to someone who knows them. */
const ADDRESSES = new Set(['phone', 'email', 'openId', 'userId', 'pushTokens']);
/** Values put into templates: codes and names, of which even a part says too much. */
const HIDDEN = new Set(['params']);
const STARS = '****';

/** Enough to recognise, too little to use: 138****01. Short ones would be guessed from their ends. */
export const maskText = (text: string): string =>
  text.length < 9 ? STARS : `${text.slice(0, 3)}${STARS}${text.slice(-2)}`;

const maskAll = (value: unknown, mask: (text: string) => string): unknown => {
  if (typeof value === 'string') return mask(value);
  if (Array.isArray(value)) return value.map((inner) => maskAll(inner, mask));
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(
      Object.entries(value).map(([name, inner]) => [name, maskAll(inner, mask)]),
    );
  return value;
};

/** A record with its personal data masked, however deep it is embedded. */
export const masked = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(masked);
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [
      name,
      ADDRESSES.has(name)
        ? maskAll(inner, maskText)
        : HIDDEN.has(name)
          ? maskAll(inner, () => STARS)
          : masked(inner),
    ]),
  );
};
