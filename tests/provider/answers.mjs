// What becomes of oidc-provider's answers on their way out, where IAM answers otherwise.

import { profileOf, claims } from './claims.mjs';
import * as counters from './counters.mjs';
import * as engine from './engine.mjs';
import * as people from './people.mjs';
import { settings } from './settings.mjs';
import * as store from './store.mjs';
import * as tokens from './tokens.mjs';

export const UNSAFE_ALGORITHMS = ['RS256', 'RS384', 'RS512', 'HS256', 'HS384', 'HS512', 'ES256', 'ES384', 'ES512', 'none'];

export async function after(ctx, next) {
  await next();
  const redirect = ctx.response.get('location');
  if (redirect && !redirect.startsWith('/') && !redirect.startsWith(engine.origin)) ctx.response.set('location', withoutIssuer(ctx, redirect));
  const answer = ANSWERS[ctx.req.endpoint];
  if (answer) await answer(ctx);
  if (ctx.req.lost) {
    ctx.respond = false;
    ctx.req.socket.destroy();
  }
}

// IAM does not know RFC 9207.
function withoutIssuer(ctx, location) {
  const url = new URL(location);
  url.searchParams.delete('iss');
  const code = url.searchParams.get('code');
  if (code) tokens.remember('code', code, { client: ctx.oidc?.client?.clientId });
  return url.href;
}

const ok = (ctx) => ctx.status === 200 && ctx.body && typeof ctx.body === 'object';

// IAM 1.12 says this of a refresh token that is unknown, used up or over, and repeats the token; others `invalid_grant`.
function unknown(ctx) {
  if (settings.bad_refresh_token === 'invalid_grant') return;
  ctx.status = 401;
  ctx.body = { error: settings.bad_refresh_token, error_description: `Invalid refresh token: ${ctx.req.form.refresh_token}` };
}

async function token(ctx) {
  const refresh = ctx.req.form?.grant_type === 'refresh_token';
  if (!ok(ctx) || !ctx.body.access_token) {
    if (refresh) {
      counters.refused(ctx.req.owner, ctx.oidc?.client?.clientId);
      if (ctx.body?.error === 'invalid_grant' && !ctx.body.error_description?.includes('AUP')) unknown(ctx);
    }
    return;
  }
  const { AccessToken: at, RefreshToken: rt } = ctx.oidc.entities;
  const client = store.client(ctx.oidc.client.clientId);
  const person = people.withSubject(at.accountId);
  const grant = store.asked.get(at.grantId);
  const asked = ctx.req.asked ?? grant.asked;
  const scope = tokens.grantedScope(asked, new Set(at.scope.split(' ')), grant.offline);
  const of = { user: person.name, client: client.client_id };
  if (refresh && engine.clearsAccessTokens(ctx.oidc.client)) store.clearAccessTokens(at.grantId, at.jti);
  const audience = ctx.req.audience ?? grant.audience;
  const stored = store.payload('AccessToken', at.jti) ?? at;
  ctx.body.access_token = await tokens.accessToken({ issuer: engine.issuer(), token: { ...stored, jti: at.jti }, person, client, scope, asked, audience });
  ctx.body.scope = settings.scope_in_answer ? scope.join(' ') : undefined;
  ctx.body.refresh_token = rt ? ctx.body.refresh_token : undefined;
  if (refresh && !settings.id_token_on_refresh) ctx.body.id_token = undefined;
  if (ctx.body.id_token && settings.id_token) ctx.body.id_token = await tokens.forge(ctx.body.id_token, settings.id_token);
  for (const kind of ['access_token', 'refresh_token', 'id_token']) tokens.remember(kind, ctx.body[kind], of);
  counters.issued(of, refresh);
}

function userinfo(ctx) {
  if (!ok(ctx)) return;
  if (settings.userinfo_wrong_subject) ctx.body.sub = 'somebody-else';
}

function introspection(ctx) {
  if (!ok(ctx) || !ctx.body.active) return;
  const person = people.withSubject(ctx.body.sub);
  if (!person || person.suspended) {
    ctx.body = { active: false };
    return;
  }
  const { AccessToken: at } = ctx.oidc.entities;
  const client = store.client(ctx.body.client_id);
  const grant = store.asked.get(at?.grantId) ?? { asked: [] };
  const scopes = new Set((ctx.body.scope ?? '').split(' '));
  Object.assign(ctx.body, claims('introspection', person, client, scopes, grant.asked), { user_id: person.name, profile: profileOf(client) });
}

function discovery(ctx) {
  if (!ok(ctx)) return;
  const elsewhere = (value) => (settings.discovery_origin && typeof value === 'string' ? value.replace(engine.origin, settings.discovery_origin) : value);
  const told = Object.fromEntries(Object.entries(ctx.body).map(([name, value]) => [name, elsewhere(value)]));
  delete told.authorization_response_iss_parameter_supported;
  if (!settings.end_session) delete told.end_session_endpoint;
  told.issuer = settings.discovery_issuer ?? engine.origin + (settings.discovery_slash ? '/' : '');
  told.id_token_signing_alg_values_supported = UNSAFE_ALGORITHMS;
  Object.assign(told, settings.discovery);
  ctx.body = Object.fromEntries(Object.entries(told).filter(([, value]) => value !== null));
}

function registration(ctx) {
  if (!ok(ctx) && ctx.status !== 201) return;
  const of = { client: ctx.body.client_id };
  for (const kind of ['client_secret', 'registration_access_token']) tokens.remember(kind, ctx.body[kind], of);
}

const ANSWERS = { token, userinfo, introspect: introspection, discovery, registration };
