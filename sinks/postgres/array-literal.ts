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
export const textArray = (values: readonly (string | null)[]): string =>
  `{${values.map(quoted).join(',')}}`;

const quoted = (value: string | null): string =>
  value === null ? 'NULL' : `"${value.replaceAll(/["\\]/g, String.raw`\$&`)}"`;
