// @ts-check
import { createHash, createPublicKey, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { isIPv4 } from 'node:net';
/** @import { KeyObject } from 'node:crypto' */

/**
 * Certificates for development and tests: an authority and what it signs (X.509 version 3, P-256, RFC 5280). Written
 * here rather than by openssl or keytool: a machine may have neither, one of them starts a JVM for each step, and
 * neither makes a certificate that has expired already, which tests need.
 * @typedef {{ name: string, certificate: string, key: string, privateKey: KeyObject }} Identity
 *   certificate, key: PEM; the key is PKCS #8, unencrypted
 */

const dayMs = 86_400_000;
/** What browsers and Apple's systems accept at most. */
const validDays = 825;

/**
 * One DER element.
 * @param {number} tag
 * @param {...Buffer} parts
 */
function der(tag, ...parts) {
  const body = Buffer.concat(parts);
  const { length } = body;
  const size =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), body]);
}

const sequence = (/** @type {Buffer[]} */ ...parts) => der(0x30, ...parts);
const oid = (/** @type {string} */ hex) => der(0x06, Buffer.from(hex, 'hex'));
const octets = (/** @type {Buffer} */ bytes) => der(0x04, bytes);
const bits = (/** @type {Buffer} */ bytes, unused = 0) => der(0x03, Buffer.from([unused]), bytes);
const yes = der(0x01, Buffer.from([0xff]));

/** 1.2.840.10045.4.3.2 */
const ecdsaWithSha256 = sequence(oid('2a8648ce3d040302'));

/** @param {string} commonName */
const distinguishedName = (commonName) =>
  sequence(der(0x31, sequence(oid('550403'), der(0x0c, Buffer.from(commonName)))));

/** @param {number} time ms since the epoch; UTCTime, good until 2049 */
const utcTime = (time) =>
  der(
    0x17,
    Buffer.from(
      `${new Date(time)
        .toISOString()
        .replace(/[-:T]|\.\d+/g, '')
        .slice(2)}`,
    ),
  );

/**
 * @param {string} id under 2.5.29, in hex
 * @param {Buffer} value
 * @param {boolean} [critical]
 */
const extension = (id, value, critical = false) =>
  sequence(oid(`551d${id}`), ...(critical ? [yes] : []), octets(value));

/** @param {KeyObject} publicKey */
const keyId = (publicKey) =>
  createHash('sha1')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest();

/** @param {string} host a name or an IPv4 address */
const alternativeName = (host) =>
  isIPv4(host) ? der(0x87, Buffer.from(host.split('.').map(Number))) : der(0x82, Buffer.from(host));

/**
 * @param {object} what
 * @param {string} what.name
 * @param {readonly string[]} [what.hosts] of a server; without, a client's
 * @param {Identity} [what.issuer] without, it signs itself, and others
 * @param {number} [what.notBefore] ms since the epoch; default an hour ago, for clocks that differ
 * @param {number} [what.notAfter]
 * @returns {Identity}
 */
export function issue({ name, hosts = [], issuer, notBefore, notAfter }) {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const from = notBefore ?? Date.now() - 3_600_000;
  const signer = issuer?.privateKey ?? privateKey;
  const body = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    // Positive, and never twice: clients confuse certificates of one issuer by it.
    der(0x02, Buffer.from([1]), randomBytes(15)),
    ecdsaWithSha256,
    distinguishedName(issuer?.name ?? name),
    sequence(utcTime(from), utcTime(notAfter ?? from + validDays * dayMs)),
    distinguishedName(name),
    publicKey.export({ type: 'spki', format: 'der' }),
    der(
      0xa3,
      sequence(
        extension('13', issuer === undefined ? sequence(yes) : sequence(), true),
        // Signs certificates and revocations; or handshakes.
        extension(
          '0f',
          issuer === undefined ? bits(Buffer.from([0x06]), 1) : bits(Buffer.from([0x80]), 7),
          true,
        ),
        extension('0e', octets(keyId(publicKey))),
        extension('23', sequence(der(0x80, keyId(createPublicKey(signer))))),
        ...(hosts.length > 0 ? [extension('11', sequence(...hosts.map(alternativeName)))] : []),
      ),
    ),
  );
  const signature = sign('sha256', body, signer);
  const text = sequence(body, ecdsaWithSha256, bits(signature)).toString('base64');
  return {
    name,
    certificate: `-----BEGIN CERTIFICATE-----\n${text.replace(/.{1,64}/g, '$&\n')}-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    privateKey,
  };
}
