// The control endpoint, on a loopback port of its own: people, switches, faults, clients, and what was counted.

import { randomBytes } from 'node:crypto';

import * as counters from './counters.mjs';
import * as engine from './engine.mjs';
import * as faults from './faults.mjs';
import * as keys from './keys.mjs';
import * as people from './people.mjs';
import { change, settings } from './settings.mjs';
import * as store from './store.mjs';
import * as tokens from './tokens.mjs';

async function putClient(id, metadata) {
  const secret = randomBytes(32).toString('base64url');
  const scope = metadata.scope ?? 'openid profile email address offline_access';
  engine.learnScopes(scope.split(' '));
  const before = store.client(id);
  const record = { grant_types: ['authorization_code', 'refresh_token'], client_secret: secret, ...before, ...metadata, scope, client_id: id };
  if (record.token_endpoint_auth_method === 'none') delete record.client_secret;
  store.putClient(record);
  try {
    await engine.current().provider.Client.find(id);
  } catch (error) {
    if (before) store.putClient(before); else store.destroy('Client', id);
    throw new Error(error.error_description ?? error.message);
  }
  tokens.remember('client_secret', record.client_secret, { client: id });
  return record;
}

const told = (token) => ({ ...token, alive: tokens.isAlive(token) });

// Method and first part of the path; the second part and the body are the arguments.
const ROUTES = (server) => ({
  'GET settings': () => settings,
  'PATCH settings': (_, body) => { change(body); engine.rebuild(); return settings; },
  'GET users': () => people.all(),
  'PUT users': (name, body) => { const person = people.set(name, body ?? {}); engine.rebuild(); return person; },
  'DELETE users': (name) => people.remove(name),
  'DELETE grants': (name) => store.revokePerson(people.named(name)?.sub),
  'DELETE sessions': () => store.endSessions(),
  'GET clients': () => store.clients(),
  'PUT clients': putClient,
  'DELETE clients': (id) => store.destroy('Client', id),
  'PUT faults': (endpoint, body) => faults.set(endpoint, body),
  'DELETE faults': (endpoint) => faults.set(endpoint, null),
  'POST keys': (_, body) => { keys.rotate(body?.keep_old ?? false); engine.rebuild(); },
  'POST certificate': () => { const made = keys.certify(); engine.rebuild(); return made; },
  'GET counters': () => counters.told(),
  'DELETE counters': () => counters.forget(),
  'GET requests': (endpoint) => counters.requests.filter((request) => !endpoint || request.endpoint === endpoint),
  'GET tokens': () => tokens.issued.map(told),
  'POST down': () => server.down(),
  'POST up': () => server.up(),
});

async function body(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return parts.length > 0 ? JSON.parse(Buffer.concat(parts).toString()) : undefined;
}

export function control(server) {
  const routes = ROUTES(server);
  return async (request, response) => {
    const answer = (status, value) => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(value ?? null));
    };
    try {
      const [, what, which] = new URL(request.url, 'http://control').pathname.split('/').map(decodeURIComponent);
      const route = routes[`${request.method} ${what}`];
      if (!route) return answer(404, { error: `there is no ${request.method} ${what}` });
      return answer(200, await route(which, await body(request)));
    } catch (error) {
      return answer(400, { error: error.message });
    }
  };
}
