import { existsSync } from 'node:fs';
import path from 'node:path';

/** The folder of package.json: schemas, SQL and configuration lie below it, whether we run from source or dist/. */
export const projectRoot = (): string => {
  let folder = import.meta.dirname;
  while (!existsSync(path.join(folder, 'package.json'))) {
    const parent = path.dirname(folder);
    if (parent === folder) throw new Error(`no package.json above ${import.meta.dirname}`);
    folder = parent;
  }
  return folder;
};
