/** What may be set beside DATABASE_URL; each wins over what the URL says. */
export interface PostgresAccess {
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** With libpq's meanings: require checks no host name, and no authority unless one is given. */
  readonly mode?: 'disable' | 'require' | 'verify-ca' | 'verify-full' | undefined;
  readonly caLocation?: string | undefined;
  readonly certificateLocation?: string | undefined;
  readonly keyLocation?: string | undefined;
}

/** A URL with credentials in it. Absent ones stay as the URL has them. */
export const urlWith = (
  url: string,
  username: string | undefined,
  password: string | undefined,
): string => {
  if (username === undefined && password === undefined) return url;
  const address = new URL(url);
  if (username !== undefined) address.username = encodeURIComponent(username);
  if (password !== undefined) address.password = encodeURIComponent(password);
  return address.toString();
};

/**
 * One URL that holds all that a Postgres client needs. An authority without a mode means that it is checked, and the
 * host name too. pg reads the files each time it connects, so renewed ones need no restart.
 */
export const postgresUrl = (url: string, access: PostgresAccess): string => {
  const { caLocation, certificateLocation, keyLocation } = access;
  const mode = access.mode ?? (caLocation === undefined ? undefined : 'verify-full');
  const tls = {
    sslmode: mode,
    // Without it pg takes require and verify-ca for verify-full, and says on stderr that it will not for long.
    uselibpqcompat: mode === undefined ? undefined : 'true',
    sslrootcert: caLocation,
    sslcert: certificateLocation,
    sslkey: keyLocation,
  };
  const given = Object.entries(tls).filter((entry): entry is [string, string] => Boolean(entry[1]));
  const whole = urlWith(url, access.username, access.password);
  if (given.length === 0) return whole;
  const address = new URL(whole);
  for (const [name, value] of given) address.searchParams.set(name, value);
  return address.toString();
};
