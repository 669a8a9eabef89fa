/**
 * Why two sides cannot agree on TLS, by Node's and OpenSSL's codes (Node.js documentation, "X509 certificate error
 * codes"; verify(1)). Trying again does not help: a person must act.
 */
const REASONS: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'its certificate has expired: renew it',
  CERT_NOT_YET_VALID: "its certificate is not valid yet: compare the machines' clocks",
  ERR_TLS_CERT_ALTNAME_INVALID:
    'its certificate is for another host name: connect by a name that it has',
  ...Object.fromEntries(
    [
      'DEPTH_ZERO_SELF_SIGNED_CERT',
      'SELF_SIGNED_CERT_IN_CHAIN',
      'UNABLE_TO_GET_ISSUER_CERT',
      'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
      'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
      'CERT_SIGNATURE_FAILURE',
      'CERT_UNTRUSTED',
      'INVALID_CA',
    ].map((code) => [code, 'its certificate is signed by no authority that we trust']),
  ),
  CERT_REVOKED: 'its certificate is revoked',
  ERR_SSL_WRONG_VERSION_NUMBER: 'it does not speak TLS on this port',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'it does not speak TLS on this port',
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: 'it wants a client certificate, and we have none',
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: 'it does not trust our client certificate',
  ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE: 'it refuses our TLS (client certificate or protocol)',
};

/** Causes nest: fetch and kafkajs wrap what the socket said. */
const DEEPEST = 5;

/** The reason in a few words, or null where the trouble is not TLS. */
export const tlsRefusal = (thrown: unknown): string | null => {
  let error: unknown = thrown;
  for (let depth = 0; depth < DEEPEST && error instanceof Error; depth += 1) {
    const { code } = error as { readonly code?: unknown };
    const reason = typeof code === 'string' ? REASONS[code] : undefined;
    if (reason !== undefined) return reason;
    error = error.cause;
  }
  return null;
};
