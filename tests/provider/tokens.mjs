// The tokens as IAM writes them: JWT access tokens that userinfo takes too, and id tokens with something wrong on demand.
// oidc-provider issues opaque access tokens; the JWT that stands for one is known here.

import { randomUUID } from 'node:crypto';

import { claims, profileOf } from './claims.mjs';
import * as keys from './keys.mjs';
import { jose } from './libraries.mjs';
import { settings } from './settings.mjs';
import * as store from './store.mjs';

const ANY_AUDIENCE = 'https://wlcg.cern.ch/jwt/v1/any';
const KEPT = 20000;

// Everything that was ever given out, oldest first, for the tests to look for.
export const issued = [];
const opaque = new Map();

export function remember(kind, value, of = {}) {
  if (!value || issued.some((token) => token.value === value)) return;
  issued.push({ kind, value, issued_at: Date.now() / 1000, ...of });
  if (issued.length > KEPT) issued.shift();
}

// Whose a token was, though it be gone.
export const ownerOf = (value) => issued.find((token) => token.value === value)?.user;

// The opaque token behind a JWT; anything else is itself.
export const behind = (token) => opaque.get(token) ?? token;

export function isAlive({ kind, value }) {
  if (kind === 'access_token') return store.alive('AccessToken', behind(value));
  if (kind === 'refresh_token') return store.alive('RefreshToken', value);
  return undefined;
}

// The scope as it was asked for, less what was not granted.
export function grantedScope(asked, granted, offline) {
  const names = asked.filter((scope) => {
    if (scope === 'offline_access') return offline;
    return granted.has(scope.startsWith('wlcg.groups:') ? 'wlcg.groups' : scope);
  });
  return [...new Set(names)];
}

export async function accessToken({ issuer, token, person, client, scope, asked, audience }) {
  const profile = profileOf(client);
  const wlcg = profile === 'wlcg';
  const aud = audience.length > 0 ? audience : wlcg ? [ANY_AUDIENCE] : [];
  const jwt = await keys.sign({
    iss: issuer,
    sub: person.sub,
    iat: token.iat ?? Math.floor(Date.now() / 1000),
    exp: token.exp,
    jti: randomUUID(),
    client_id: client.client_id,
    ...(aud.length > 0 && { aud: aud.length === 1 ? aud[0] : aud }),
    ...((wlcg || settings.authn_info) && { scope: scope.join(' ') }),
    ...(wlcg && { nbf: token.iat ?? Math.floor(Date.now() / 1000) }),
    ...claims('access_token', person, client, new Set(token.scope.split(' ')), asked),
  });
  opaque.set(jwt, token.jti);
  return jwt;
}

// The same id token with one thing wrong, rightly signed where the signature is not what is wrong.
export async function forge(jwt, kind) {
  const told = jose.decodeJwt(jwt);
  const now = Math.floor(Date.now() / 1000);
  const changed = (changes) => keys.sign(JSON.parse(JSON.stringify({ ...told, ...changes })));
  switch (kind) {
    case 'none': return keys.unsigned(told);
    case 'other_key': return keys.signByOther(told);
    case 'hs256': return keys.signByPublicKey(told);
    case 'expired': return changed({ iat: now - 7200, exp: now - 3600 });
    case 'future': return changed({ iat: now + 7200, nbf: now + 7200, exp: now + 10800 });
    case 'wrong_nonce': return changed({ nonce: randomUUID() });
    case 'no_nonce': return changed({ nonce: undefined });
    case 'wrong_audience': return changed({ aud: randomUUID() });
    case 'extra_audience': return changed({ aud: [told.aud, randomUUID()], azp: randomUUID() });
    case 'wrong_issuer': return changed({ iss: 'https://issuer.example.org/' });
    case 'wrong_subject': return changed({ sub: randomUUID() });
    case 'garbage': return 'this.is.nothing';
    case 'missing': return undefined;
    default: return jwt;
  }
}
