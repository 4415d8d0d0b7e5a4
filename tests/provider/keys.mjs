// The keys that sign. They are made anew at every start and can be rotated.

import { execFileSync } from 'node:child_process';
import { X509Certificate, generateKeyPairSync, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { jose } from './libraries.mjs';

function pair(type, options, alg) {
  const { privateKey, publicKey } = generateKeyPairSync(type, options);
  const kid = randomUUID();
  const extra = { kid, alg, use: 'sig' };
  return { kid, alg, privateKey, publicKey, jwk: { ...privateKey.export({ format: 'jwk' }), ...extra } };
}

const fresh = () => [pair('rsa', { modulusLength: 2048 }, 'RS256'), pair('ec', { namedCurve: 'P-256' }, 'ES256')];

let keys = fresh();
// Never published.
const foreign = pair('rsa', { modulusLength: 2048 }, 'RS256');

export function rotate(keepOld) {
  keys = [...fresh(), ...(keepOld ? keys : [])];
}

// One RSA key alone, with a certificate: what Ceph's gateway asks of a provider. Gives the certificate's SHA-1 thumbprint,
// by which the gateway knows it.
export function certify() {
  const key = pair('rsa', { modulusLength: 2048 }, 'RS256');
  const folder = mkdtempSync(join(tmpdir(), 'provider-'));
  const file = join(folder, 'key.pem');
  writeFileSync(file, key.privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  const made = execFileSync('openssl', ['req', '-x509', '-key', file, '-subj', '/CN=provider', '-days', '30']);
  rmSync(folder, { recursive: true });
  const certificate = new X509Certificate(made);
  key.jwk.x5c = [certificate.raw.toString('base64')];
  keys = [key];
  return { thumbprint: certificate.fingerprint.replaceAll(':', '') };
}

export const jwks = () => ({ keys: keys.map((key) => key.jwk) });

const signing = () => keys.find((key) => key.alg === 'RS256');

export function sign(claims, header = {}) {
  const key = signing();
  return new jose.SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid: key.kid, ...header }).sign(key.privateKey);
}

// Signed by a key that nobody can know, under the id of one that everybody knows.
export function signByOther(claims) {
  return new jose.SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid: signing().kid }).sign(foreign.privateKey);
}

// The old confusion of algorithms: the public key, as text, taken for a shared secret.
export function signByPublicKey(claims) {
  const text = signing().publicKey.export({ type: 'spki', format: 'pem' });
  return new jose.SignJWT(claims).setProtectedHeader({ alg: 'HS256', kid: signing().kid }).sign(Buffer.from(text));
}

export const unsigned = (claims) => {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'none' })}.${part(claims)}.`;
};
