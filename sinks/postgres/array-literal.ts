/**
 * Postgres array literals, made by hand: a batch has thousands of elements, and pg's own conversion inspects each
 * one's type.
 */

/** Numbers and bigints need no quoting; null is NULL. */
export const numberArray = (values: readonly (number | bigint | null)[]): string => {
  let text = '';
  for (const value of values) text += text === '' ? element(value) : `,${element(value)}`;
  return `{${text}}`;
};

const element = (value: number | bigint | null): string =>
  value === null ? 'NULL' : String(value);

/** For text that cannot hold a quote, backslash, comma or brace: UUIDs, dates, booleans, our own words. */
export const plainArray = (values: readonly string[]): string => `{${values.join(',')}}`;

/** Any text; null is NULL. */
export const textArray = (values: readonly (string | null)[]): string => {
  let text = '';
  for (const value of values) text += text === '' ? quoted(value) : `,${quoted(value)}`;
  return `{${text}}`;
};

/** Postgres' text holds no NUL; a producer's label may, and must not stop the sink. */
const REPLACEMENT = '\uFFFD';
const UNQUOTABLE = /["\\\0]/;

const quoted = (value: string | null): string => {
  if (value === null) return 'NULL';
  // Escapes are rare: to look for them first is three times as fast as to replace.
  return UNQUOTABLE.test(value)
    ? `"${value.replaceAll('\0', REPLACEMENT).replaceAll(/["\\]/g, String.raw`\$&`)}"`
    : `"${value}"`;
};

/** JSON for a jsonb element of textArray(): jsonb holds no NUL either. */
export const jsonText = (map: Readonly<Record<string, string>>): string => {
  const text = JSON.stringify(map);
  if (!text.includes(String.raw`\u0000`)) return text;
  const holdable = Object.entries(map).map((entry) =>
    entry.map((part) => part.replaceAll('\0', REPLACEMENT)),
  );
  return JSON.stringify(Object.fromEntries(holdable));
};
