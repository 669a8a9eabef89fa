import type { Headers } from '../../schemas/record.js';

/** On a window that was written anew long after it closed, by `millrace rebuild windows`. */
const REBUILT = 'millrace-rebuilt';

export const REBUILT_HEADERS: Headers = { [REBUILT]: Buffer.from('1') };

export const isRebuilt = (headers: Headers): boolean => headers[REBUILT] !== undefined;
