import { createReadStream } from 'node:fs';
import { Transform } from 'node:stream';
import { CsvError, parse } from 'csv-parse';
import { PipelineError, asError } from '../../schemas/error.js';
import { microsOf } from '../../schemas/config.js';
import type { StatementLine } from '../../sinks/postgres/reconciliation.js';

/** What a statement must have; further columns are passed over. */
const COLUMNS = ['providerMessageId', 'amount', 'currency'] as const;
/** What one insert takes. */
const BATCH = 5_000;
const AMOUNT = /^\d{1,12}(\.\d{1,6})?$/;
const MOST_ID = 256;

const NEWLINE = 0x0a;

/** Passes UTF-8 on; anything else ends it, naming the line. */
const utf8 = (file: string): Transform => {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  let line = 1;
  const check = (bytes: Buffer, stream: boolean): Error | null => {
    // Line by line only where the whole chunk is wrong: to find which.
    try {
      decoder.decode(bytes, { stream });
      for (const byte of bytes) if (byte === NEWLINE) line += 1;
      return null;
    } catch {
      return invalid(file, wrongLine(bytes, line), 'not UTF-8: save the file as UTF-8');
    }
  };
  return new Transform({
    transform(chunk: Buffer, _, next) {
      next(check(chunk, true), chunk);
    },
    flush(next) {
      next(check(Buffer.alloc(0), false));
    },
  });
};

const wrongLine = (bytes: Buffer, first: number): number => {
  let line = first;
  for (let start = 0; start < bytes.length;) {
    const newline = bytes.indexOf(NEWLINE, start);
    const end = newline < 0 ? bytes.length : newline + 1;
    // The beginning of a chunk may be the rest of a character.
    let from = start;
    if (start === 0) while (from < end && ((bytes[from] ?? 0) & 0xc0) === 0x80) from += 1;
    try {
      new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(from, end), {
        stream: newline < 0,
      });
    } catch {
      return line;
    }
    if (newline < 0) return line;
    line += 1;
    start = end;
  }
  return line;
};

const invalid = (file: string, line: number, why: string): PipelineError =>
  new PipelineError('config_invalid', `${file}, line ${line}: ${why}`);

interface Row {
  readonly record: Readonly<Record<string, string>>;
  readonly info: { readonly lines: number };
}

/**
 * A provider's statement, streamed: CSV in UTF-8 with a header; providerMessageId, amount (decimal, at most 6 places) and
 * currency (ISO 4217). The same id again is no error here: it is a break.
 * @throws PipelineError config_invalid naming the file's line
 */
export async function* statementLines(file: string): AsyncGenerator<readonly StatementLine[]> {
  const rows = parse({
    bom: true,
    info: true,
    trim: true,
    skip_empty_lines: true,
    // A quote that is never closed must not take the whole file into memory.
    max_record_size: 65_536,
    columns: (header: string[]) => {
      const missing = COLUMNS.filter((column) => !header.includes(column));
      if (missing.length > 0)
        throw invalid(
          file,
          1,
          `no column ${missing.join(', ')}: a statement has ${COLUMNS.join(', ')}, and this one ${header.join(', ')}`,
        );
      const twice = header.find((column, index) => header.indexOf(column) !== index);
      if (twice !== undefined) throw invalid(file, 1, `column ${twice} is there twice`);
      return header;
    },
  });
  const bytes = createReadStream(file);
  const checked = utf8(file);
  bytes.on('error', (error) => rows.destroy(error));
  checked.on('error', (error) => rows.destroy(error));
  bytes.pipe(checked).pipe(rows);
  let batch: StatementLine[] = [];
  let lines = 0;
  try {
    for await (const row of rows as AsyncIterable<Row>) {
      batch.push(lineOf(file, row));
      lines += 1;
      if (batch.length < BATCH) continue;
      yield batch;
      batch = [];
    }
  } catch (thrown) {
    throw readable(file, thrown);
  } finally {
    bytes.destroy();
  }
  if (lines === 0) throw invalid(file, 1, 'the file is empty: a statement of nothing is no proof');
  if (batch.length > 0) yield batch;
}

const readable = (file: string, thrown: unknown): PipelineError => {
  if (thrown instanceof PipelineError) return thrown;
  if (thrown instanceof CsvError) {
    const line = Number((thrown as { readonly lines?: unknown }).lines);
    return invalid(file, Number.isFinite(line) ? line : 1, `not CSV: ${thrown.message}`);
  }
  return new PipelineError('config_invalid', `${file}: ${asError(thrown).message}`, thrown);
};

const lineOf = (file: string, { record, info: { lines: line } }: Row): StatementLine => {
  const { providerMessageId = '', amount = '', currency = '' } = record;
  if (providerMessageId === '' || providerMessageId.length > MOST_ID)
    throw invalid(file, line, `providerMessageId: 1 to ${MOST_ID} characters`);
  if (!AMOUNT.test(amount))
    throw invalid(file, line, `amount "${amount}": decimal such as 0.045, at most 6 places`);
  if (!/^[A-Z]{3}$/.test(currency))
    throw invalid(file, line, `currency "${currency}": an ISO 4217 code such as CNY`);
  return { line, providerMessageId, cashMicros: microsOf(amount), currency };
};
