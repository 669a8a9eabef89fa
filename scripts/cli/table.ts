import Table from 'cli-table3';

/** Money too: decimal text, with as many places as it needs. */
const isNumber = (cell: string | number | bigint | undefined): boolean =>
  typeof cell !== 'string' || /^-?\d+\.\d+$/.test(cell);

/** Columns without boxes: what people grep and copy. Numbers go right. */
export const table = (
  head: readonly string[],
  rows: readonly (readonly (string | number | bigint)[])[],
): string => {
  const right = head.map((_, column) => rows.every((row) => isNumber(row[column])));
  const made = new Table({
    head: [...head],
    colAligns: right.map((is) => (is ? 'right' : 'left')),
    style: { head: [], border: [], compact: true, 'padding-left': 0, 'padding-right': 2 },
    chars: {
      top: '',
      'top-mid': '',
      'top-left': '',
      'top-right': '',
      bottom: '',
      'bottom-mid': '',
      'bottom-left': '',
      'bottom-right': '',
      left: '',
      'left-mid': '',
      mid: '',
      'mid-mid': '',
      right: '',
      'right-mid': '',
      middle: '',
    },
  });
  made.push(...rows.map((row) => row.map(String)));
  return made.toString().replaceAll(/ +$/gm, '');
};
