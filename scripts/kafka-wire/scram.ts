import { createHash, createHmac, pbkdf2Sync, randomBytes, timingSafeEqual } from 'node:crypto';
import { PipelineError } from '../../schemas/error.js';

/** RFC 5802: "=" and "," separate fields. */
const escaped = (name: string): string => name.replaceAll('=', '=3D').replaceAll(',', '=2C');

const fieldOf = (message: string, name: string): string => {
  const found = message.split(',').find((field) => field.startsWith(`${name}=`));
  if (found === undefined)
    throw new PipelineError('config_invalid', `the broker's SCRAM message lacks ${name}`);
  return found.slice(2);
};

const xor = (a: Buffer, b: Buffer): Buffer => Buffer.from(a.map((byte, at) => byte ^ (b[at] ?? 0)));

export interface ScramClient {
  readonly first: string;
  /** The answer to the server's first message. */
  readonly final: (serverFirst: string) => string;
  /** @throws PipelineError `config_invalid` where the server does not know the password either. */
  readonly verify: (serverFinal: string) => void;
}

/**
 * The client's side of SCRAM (RFC 5802, RFC 7677), without channel binding, as Kafka speaks it. Neither side sends the
 * password, and both prove that they know it.
 */
export const scramClient = (
  algorithm: 'sha256' | 'sha512',
  username: string,
  password: string,
  nonce: string = randomBytes(24).toString('base64'),
): ScramClient => {
  const bare = `n=${escaped(username)},r=${nonce}`;
  const hmac = (key: Buffer, text: string) => createHmac(algorithm, key).update(text).digest();
  let signature: Buffer | null = null;
  return {
    first: `n,,${bare}`,
    final: (serverFirst) => {
      const both = fieldOf(serverFirst, 'r');
      if (!both.startsWith(nonce))
        throw new PipelineError('config_invalid', 'the broker answered to another SCRAM nonce');
      const salted = pbkdf2Sync(
        password,
        Buffer.from(fieldOf(serverFirst, 's'), 'base64'),
        Number(fieldOf(serverFirst, 'i')),
        algorithm === 'sha256' ? 32 : 64,
        algorithm,
      );
      const withoutProof = `c=biws,r=${both}`;
      const spoken = [bare, serverFirst, withoutProof].join(',');
      const clientKey = hmac(salted, 'Client Key');
      const stored = createHash(algorithm).update(clientKey).digest();
      signature = hmac(hmac(salted, 'Server Key'), spoken);
      return `${withoutProof},p=${xor(clientKey, hmac(stored, spoken)).toString('base64')}`;
    },
    verify: (serverFinal) => {
      const theirs = Buffer.from(fieldOf(serverFinal, 'v'), 'base64');
      if (signature?.length !== theirs.length || !timingSafeEqual(signature, theirs))
        throw new PipelineError(
          'config_invalid',
          'the broker could not prove by SCRAM that it knows our password',
        );
    },
  };
};
