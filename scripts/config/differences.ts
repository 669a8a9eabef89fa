/** One place where two JSON values differ; a side that has nothing there is undefined. */
export interface Difference {
  /** e.g. channels[0].providers[0].price; list items that have an id or name are named by it. */
  readonly path: string;
  readonly before: unknown;
  readonly after: unknown;
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Items by what people call them, so that inserting one does not show all that follow as changed. */
const named = (list: readonly unknown[]): ReadonlyMap<string, unknown> | undefined => {
  const names = list.map((item) => (isRecord(item) ? (item['id'] ?? item['name']) : undefined));
  if (!names.every((name) => typeof name === 'string') || new Set(names).size !== names.length)
    return undefined;
  return new Map(list.map((item, index) => [String(names[index]), item]));
};

/** Every leaf at which the values differ, in reading order. */
export const differences = (before: unknown, after: unknown, path = ''): readonly Difference[] => {
  if (Array.isArray(before) && Array.isArray(after)) {
    const left = named(before);
    const right = named(after);
    if (left !== undefined && right !== undefined)
      return [...new Set([...left.keys(), ...right.keys()])].flatMap((name) =>
        differences(left.get(name), right.get(name), `${path}[${name}]`),
      );
    return JSON.stringify(before) === JSON.stringify(after) ? [] : [{ path, before, after }];
  }
  if (isRecord(before) && isRecord(after))
    return [...new Set([...Object.keys(before), ...Object.keys(after)])].flatMap((name) =>
      differences(before[name], after[name], path === '' ? name : `${path}.${name}`),
    );
  return JSON.stringify(before) === JSON.stringify(after) ? [] : [{ path, before, after }];
};
