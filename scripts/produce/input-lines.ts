import { parse } from 'csv-parse/sync';
import { PipelineError, asError } from '../../schemas/error.js';

/** A record of the input and the line it begins on, from 1. */
export interface InputRecord {
  readonly line: number;
  /** undefined: `broken` says why it could not be read at all. */
  readonly value: unknown;
  readonly broken?: string;
}

export type InputFormat = 'ndjson' | 'csv';

/** Columns that hold several values, separated by "|". */
const LISTS: ReadonlySet<string> = new Set(['channels', 'recipient.pushTokens']);

/** NDJSON: a JSON object a line; empty lines are passed over. */
const ndjson = (text: string): InputRecord[] =>
  text.split('\n').flatMap((written, index): InputRecord[] => {
    const line = index + 1;
    if (written.trim() === '') return [];
    try {
      return [{ line, value: JSON.parse(written) as unknown }];
    } catch (thrown) {
      return [{ line, value: undefined, broken: `not JSON: ${asError(thrown).message}` }];
    }
  });

/** CSV with a header; a dot in a column's name goes into the record: recipient.phone, params.code, labels.source. */
const csv = (text: string): InputRecord[] => {
  let rows: {
    readonly record: Record<string, string>;
    readonly info: { readonly lines: number };
  }[];
  try {
    rows = parse(text, {
      columns: true,
      bom: true,
      info: true,
      trim: true,
      skip_empty_lines: true,
    });
  } catch (thrown) {
    throw new PipelineError('config_invalid', `not CSV: ${asError(thrown).message}`, thrown);
  }
  return rows.map(({ record, info }) => ({ line: info.lines, value: nested(record) }));
};

const nested = (row: Readonly<Record<string, string>>): Record<string, unknown> => {
  const record: Record<string, unknown> = {};
  for (const [column, cell] of Object.entries(row)) {
    if (cell === '') continue;
    const value = LISTS.has(column) ? cell.split('|').map((one) => one.trim()) : cell;
    const [group, ...rest] = column.split('.');
    if (group === undefined || rest.length === 0) record[column] = value;
    else {
      const inner = (record[group] ?? {}) as Record<string, unknown>;
      inner[rest.join('.')] = value;
      record[group] = inner;
    }
  }
  return record;
};

/** @throws PipelineError `config_invalid` where CSV cannot be split into rows; a broken JSON line is a record. */
export const inputRecords = (text: string, format: InputFormat): readonly InputRecord[] =>
  format === 'csv' ? csv(text) : ndjson(text);
