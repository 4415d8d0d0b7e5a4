// The certified provider, configured as IAM is. It is built anew whenever something changes that it reads only once;
// what it remembers is in the store and lives on.

import { randomBytes, randomUUID } from 'node:crypto';

import { after } from './answers.mjs';
import { KNOWN_CLAIMS, claims } from './claims.mjs';
import * as keys from './keys.mjs';
import { Provider, errors } from './libraries.mjs';
import * as pages from './pages.mjs';
import * as people from './people.mjs';
import { PROFILES, settings } from './settings.mjs';
import * as store from './store.mjs';

export const SCOPES = [
  'openid', 'profile', 'email', 'address', 'offline_access', 'wlcg.groups', 'eduperson_entitlement', 'entitlements',
  'eduperson_scoped_affiliation', 'eduperson_assurance', 'ssh-keys', 'attr', ...PROFILES,
];
const FOREVER = 10 * 365 * 86400;
const WLCG_GROUP = /^wlcg\.groups:(\/[a-zA-Z][a-zA-Z0-9\-_.]*)+$/;

const scopes = new Set(SCOPES);
const cookieKeys = [randomBytes(32).toString('hex')];

export let origin;
let provider;
let callback;

export const issuer = () => origin + (settings.issuer_slash ? '/' : '');
export const current = () => ({ provider, callback });

export function open(at) {
  origin = at;
  rebuild();
}

// Makes scopes known that IAM does not come with. A client may then have them.
export function learnScopes(more) {
  more.forEach((scope) => scopes.add(scope));
  rebuild();
}

// Refuses what is not registered on the client, as IAM does; oidc-provider would ignore what it does not know.
function checkAsked(ctx, asked, client) {
  const registered = new Set((client.scope ?? '').split(' '));
  for (const scope of (asked ?? '').split(' ').filter(Boolean)) {
    const base = scope.startsWith('wlcg.groups:') ? 'wlcg.groups' : scope;
    if (base !== scope && !WLCG_GROUP.test(scope)) throw new errors.InvalidScope('Misformed group scope', scope);
    if (!registered.has(base)) throw new errors.InvalidScope(`Invalid scope: ${scope}`, scope);
  }
}

function flag(client, name) {
  return store.client(client.clientId)?.[name] ?? settings[name];
}

// Whether somebody may be given tokens now; asked at the exchange of a code and at every refresh.
function mayHaveTokens(person) {
  const refuse = (status, error, text) => { throw Object.assign(new errors.CustomOIDCProviderError(error, text), { status, statusCode: status }); };
  if (person.suspended) refuse(401, 'unauthorized', `User ${person.name} is not active.`);
  if (!person.aup_signed) refuse(400, 'invalid_grant', `User ${person.name} needs to sign AUP for this organization in order to proceed.`);
}

function findAccount(ctx, sub) {
  const person = people.withSubject(sub);
  if (!person) return undefined;
  if (ctx.oidc.route === 'token') mayHaveTokens(person);
  if (ctx.oidc.route === 'userinfo' && person.suspended) return undefined;
  return {
    accountId: sub,
    claims(use, scope) {
      const client = store.client(ctx.oidc.client.clientId);
      const grant = store.asked.get(ctx.oidc.entities.Grant?.jti);
      return { ...claims(use, person, client, new Set(scope.split(' ')), ctx.req.asked ?? grant?.asked ?? []), sub };
    },
  };
}

// Every sign-in is a grant of its own. Without asking, one is made at once, so that `prompt=none` works too.
function loadExistingGrant(ctx) {
  const id = ctx.oidc.result?.consent?.grantId;
  if (id) return ctx.oidc.provider.Grant.find(id);
  const person = people.withSubject(ctx.oidc.session.accountId);
  const asks = settings.consent === 'ask' || ctx.oidc.promptPending('consent');
  if (asks || !person?.aup_signed || person.suspended) return undefined;
  return pages.grant(ctx.oidc.provider, person, ctx.oidc.params);
}

export function rebuild() {
  const extra = people.all().flatMap((person) => Object.keys(person.claims));
  provider = new Provider(issuer(), {
    adapter: store.Adapter,
    jwks: keys.jwks(),
    scopes: [...scopes],
    claims: { openid: [...new Set([...KNOWN_CLAIMS, ...extra])] },
    clockTolerance: 0,
    cookies: { keys: cookieKeys, names: { session: 'provider_session', interaction: 'provider_interaction', resume: 'provider_resume' } },
    routes: {
      authorization: '/authorize', token: '/token', userinfo: '/userinfo', jwks: '/jwk', introspection: '/introspect',
      revocation: '/revoke', registration: '/iam/api/client-registration', end_session: '/logout',
    },
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    extraParams: {
      asked: checkAsked, aud: null, audience: null, resource: null,
    },
    extraClientMetadata: { properties: ['code_challenge_method', 'reuse_refresh_token', 'clear_access_tokens_on_refresh'] },
    findAccount,
    loadExistingGrant,
    pkce: { required: (_, client) => store.client(client.clientId)?.code_challenge_method === 'S256' },
    expiresWithSession: () => false,
    issueRefreshToken: (_, client, source) => client.grantTypeAllowed('refresh_token') && Boolean(store.asked.get(source.grantId)?.offline),
    rotateRefreshToken: (ctx) => !flag(ctx.oidc.client, 'reuse_refresh_token'),
    renderError: pages.renderError,
    features: {
      devInteractions: { enabled: false },
      dPoP: { enabled: false },
      pushedAuthorizationRequests: { enabled: false },
      resourceIndicators: { enabled: false },
      introspection: { enabled: true, allowedPolicy: () => true },
      revocation: { enabled: true, allowedPolicy: mayRevoke },
      rpInitiatedLogout: { enabled: true, logoutSource: pages.logout, postLogoutSuccessSource: pages.loggedOut },
      registration: { enabled: true, idFactory: () => randomUUID(), secretFactory: () => randomBytes(64).toString('base64url') },
      registrationManagement: { enabled: true, rotateRegistrationAccessToken: () => settings.rotate_registration_token },
    },
    ttl: {
      AccessToken: () => settings.access_ttl,
      AuthorizationCode: () => settings.code_ttl,
      IdToken: () => settings.id_ttl,
      RefreshToken: () => settings.refresh_ttl || FOREVER,
      Grant: FOREVER,
      Interaction: 3600,
      Session: FOREVER,
    },
  });
  provider.use(after);
  provider.on('server_error', (_, error) => console.error(error));
  // A token that another client brings is lost to its owner too.
  provider.on('grant.error', (ctx, error) => {
    if (error.error_detail === 'client mismatch') store.destroy('RefreshToken', ctx.oidc.params.refresh_token);
  });
  callback = provider.callback();
}

// Revoking an access token ends that token alone; oidc-provider would end the grant.
async function mayRevoke(_, client, token) {
  if (token.clientId !== client.clientId) return false;
  if (token.kind !== 'AccessToken') return true;
  await token.destroy();
  return false;
}

export const clearsAccessTokens = (client) => flag(client, 'clear_access_tokens_on_refresh');
