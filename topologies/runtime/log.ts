import { pino } from 'pino';
import type { DestinationStream, Logger } from 'pino';

export type { Logger } from 'pino';

const PHONE = /\+?\d[\d -]{6,}\d/g;
const MAILBOX = /[^\s@<>"']+@[^\s@<>"']+\.[^\s@<>"']+/g;
const KEPT = 2;

/** Phone numbers and mailboxes in free text (provider answers, driver errors) keep only their last two characters. */
export const masked = (text: string): string =>
  text
    .replace(MAILBOX, (found) => `***${found.slice(-KEPT)}`)
    // Offsets, ports and times are digits too: only runs as long as a subscriber's number with code.
    .replace(PHONE, (found) =>
      found.replace(/\D/g, '').length < 10 ? found : `***${found.slice(-KEPT)}`,
    );

/** Fields that never reach a log whatever object they arrive in. */
const SECRET_PATHS = [
  'recipient',
  'params',
  'phone',
  'email',
  'openId',
  'pushTokens',
  'password',
  'token',
  'secret',
];

/** One JSON line an event on stdout; errors by code and message, personal data masked. */
export const createLog = (
  level: string,
  base: Readonly<Record<string, unknown>>,
  to: DestinationStream = pino.destination(1),
): Logger =>
  pino(
    {
      level,
      base,
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: {
        paths: SECRET_PATHS.flatMap((path) => [path, `*.${path}`, `*.*.${path}`]),
        censor: '***',
      },
      serializers: {
        err: (error: unknown) =>
          error instanceof Error
            ? {
                code: (error as { code?: unknown }).code,
                message: masked(error.message),
                ...(error.cause instanceof Error && { cause: masked(error.cause.message) }),
              }
            : masked(String(error)),
      },
    },
    to,
  );
