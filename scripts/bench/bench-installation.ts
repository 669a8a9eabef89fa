import path from 'node:path';
import { projectRoot } from '../../schemas/root.js';
import { type Installation, install } from '../installation/installation.js';

/** A fresh installation for one measurement. */
export const installBench = (): Promise<Installation> =>
  install({
    base: process.env,
    purpose: 'bench',
    dir: path.join(projectRoot(), 'scripts', 'bench', 'config'),
  });
