// What stands before oidc-provider: it writes down every request, lets faults befall it, and puts into oidc-provider's
// words what IAM's clients say otherwise.

import * as counters from './counters.mjs';
import * as engine from './engine.mjs';
import * as faults from './faults.mjs';
import { audience, interaction } from './pages.mjs';
import * as people from './people.mjs';
import { settings } from './settings.mjs';
import * as store from './store.mjs';
import { behind, ownerOf } from './tokens.mjs';

const LIMIT = 65536;
const PATHS = [
  ['/.well-known/', 'discovery'], ['/authorize', 'authorize'], ['/token', 'token'], ['/userinfo', 'userinfo'], ['/jwk', 'jwks'],
  ['/introspect', 'introspect'], ['/revoke', 'revoke'], ['/iam/api/client-registration', 'registration'], ['/logout', 'logout'],
  ['/interaction/', 'login'],
];
const JSON_TYPE = { 'content-type': 'application/json' };

async function read(request) {
  const parts = [];
  let length = 0;
  for await (const part of request) {
    length += part.length;
    if (length > LIMIT) throw new Error('the body is too long');
    parts.push(part);
  }
  return Buffer.concat(parts).toString();
}

const clientOf = (request, params) => {
  const [kind, value] = (request.headers.authorization ?? '').split(' ');
  if (kind.toLowerCase() !== 'basic') return params.client_id;
  return decodeURIComponent(Buffer.from(value ?? '', 'base64').toString().split(':')[0]);
};

function written(request, url, response) {
  const form = request.form ?? Object.fromEntries(url.searchParams);
  const note = {
    at: Date.now() / 1000,
    endpoint: request.endpoint,
    method: request.method,
    path: url.pathname,
    query: Object.fromEntries(url.searchParams),
    form: { ...request.form },
    json: structuredClone(request.json),
    client: clientOf(request, form),
    authorization: request.headers.authorization?.split(' ')[0],
    user_agent: request.headers['user-agent'],
    status: undefined,
  };
  response.on('close', () => { note.status = response.writableFinished ? response.statusCode : 0; });
  return note;
}

// What oidc-provider does not know is kept aside: scopes as they were written, the audience.
function splitScope(text) {
  const scopes = text.split(' ').filter(Boolean);
  const plain = scopes.filter((scope) => scope !== 'offline_access').map((scope) => (scope.startsWith('wlcg.groups:') ? 'wlcg.groups' : scope));
  return { scopes, plain: [...new Set(plain)].join(' ') };
}

function authorize(request, url) {
  const split = (params, set) => {
    const asked = params.scope ?? '';
    set('asked', asked);
    set('scope', splitScope(asked).plain);
  };
  if (request.form) split(request.form, (name, value) => { request.form[name] = value; });
  else if (url.searchParams.has('client_id')) split(Object.fromEntries(url.searchParams), (name, value) => url.searchParams.set(name, value));
}

function token(request, response) {
  const { form } = request;
  if (!form) return undefined;
  const asked = audience(form);
  if (asked.length > 0) request.audience = asked;
  if (form.grant_type !== 'refresh_token') return undefined;
  const held = store.payload('RefreshToken', form.refresh_token);
  const grant = store.asked.get(held?.grantId);
  const person = people.withSubject(held?.accountId);
  request.owner = person?.name ?? ownerOf(form.refresh_token);
  response.on('close', counters.refreshing(request.owner, clientOf(request, form)));
  if (form.scope) {
    const { scopes, plain } = splitScope(form.scope);
    request.asked = scopes;
    form.scope = plain;
  }
  // Policy is asked at every refresh: a scope denied since is no longer given.
  const denied = new Set([...settings.denied_scopes, ...(person?.denied_scopes ?? [])]);
  const wanted = (form.scope ?? held?.scope ?? '').split(' ');
  if (wanted.some((scope) => denied.has(scope))) form.scope = wanted.filter((scope) => !denied.has(scope)).join(' ');
  if (grant?.resource && asked.some((target) => !grant.audience.includes(target))) return 'invalid_target';
  return undefined;
}

function translate(request, url, response) {
  const { form } = request;
  switch (request.endpoint) {
    case 'authorize':
      authorize(request, url);
      return undefined;
    case 'token':
      return token(request, response);
    case 'userinfo': {
      const [kind, value] = (request.headers.authorization ?? '').split(' ');
      if (value) request.headers.authorization = `${kind} ${behind(value)}`;
      if (form?.access_token) form.access_token = behind(form.access_token);
      return undefined;
    }
    case 'introspect':
    case 'revoke':
      if (form?.token) form.token = behind(form.token);
      return undefined;
    case 'registration':
      return register(request, url);
    default:
      return undefined;
  }
}

const OWN_MEMBERS = ['registration_access_token', 'registration_client_uri', 'client_secret_expires_at', 'client_id_issued_at'];
const FLAGS = ['reuse_refresh_token', 'clear_access_tokens_on_refresh'];
const DEFAULT_SCOPE = 'openid profile email address offline_access';

// IAM's rules: members of its own are let pass, its flags cannot be set, scopes it keeps to itself vanish unsaid.
function register(request, url) {
  const { json } = request;
  if (!['POST', 'PUT'].includes(request.method) || !json || typeof json !== 'object') return undefined;
  if (request.method === 'POST') {
    if (settings.registration === 'nobody') return 'access_denied';
    if (json.client_id !== undefined || json.client_secret !== undefined) return 'invalid_client_metadata';
  }
  const before = request.method === 'PUT' ? store.client(url.pathname.split('/').pop()) : undefined;
  for (const name of OWN_MEMBERS) delete json[name];
  for (const name of FLAGS) {
    delete json[name];
    if (before?.[name] !== undefined) json[name] = before[name];
  }
  const wanted = String(json.scope ?? before?.scope ?? DEFAULT_SCOPE).split(' ');
  json.scope = wanted.filter((scope) => engine.SCOPES.includes(scope) && !settings.restricted_scopes.includes(scope)).join(' ');
  const grants = new Set(Array.isArray(json.grant_types) ? json.grant_types : ['authorization_code']);
  if (json.scope.split(' ').includes('offline_access')) grants.add('refresh_token');
  json.grant_types = [...grants];
  return undefined;
}

export async function handle(request, response) {
  const url = new URL(request.url.replace(/^\/+/, '/'), engine.origin);
  request.endpoint = PATHS.find(([path]) => url.pathname.startsWith(path))?.[1] ?? 'other';
  const body = await read(request);
  const type = request.headers['content-type'] ?? '';
  if (type.startsWith('application/x-www-form-urlencoded')) request.form = Object.fromEntries(new URLSearchParams(body));
  if (type.startsWith('application/json')) request.json = parsed(body);
  counters.asked(written(request, url, response));
  if (await faults.befall(request, response)) return;
  const refused = translate(request, url, response);
  if (refused) {
    response.writeHead(refused === 'access_denied' ? 403 : 400, JSON_TYPE);
    response.end(JSON.stringify({ error: refused }));
    return;
  }
  const { provider, callback } = engine.current();
  request.url = url.pathname + url.search;
  request.body = request.form ?? request.json ?? body;
  if (request.endpoint === 'login') await interaction(provider, request, response);
  else await callback(request, response);
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
