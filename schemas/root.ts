import { existsSync, readFileSync } from 'node:fs';
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

/** Of this build, as package.json says: major.minor.patch. */
export const releaseVersion = (): string => {
  const file = path.join(projectRoot(), 'package.json');
  return (JSON.parse(readFileSync(file, 'utf8')) as { readonly version: string }).version;
};
