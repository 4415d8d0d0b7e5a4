// Faults on demand, by endpoint. `refresh` is the token endpoint asked for a refresh.

import { setTimeout as pause } from 'node:timers/promises';

export const ENDPOINTS = [
  'discovery', 'authorize', 'token', 'refresh', 'userinfo', 'jwks', 'introspect', 'revoke', 'registration', 'logout', 'login', 'all',
];
export const KINDS = ['refuse', 'hang', 'status', 'garbage', 'endless', 'lost', 'slow'];

const faults = new Map();
const hanging = new Set();

// Sets a fault, or clears it when it is null. `times` is how many requests it befalls; without it, all.
export function set(endpoint, fault) {
  if (!ENDPOINTS.includes(endpoint)) throw new Error(`there is no endpoint ${endpoint}`);
  if (fault !== null && !KINDS.includes(fault.kind)) throw new Error(`there is no fault ${fault.kind}`);
  faults.delete(endpoint);
  if (fault !== null) faults.set(endpoint, { ...fault });
  for (const held of hanging) if (held.endpoint === endpoint || endpoint === 'all') held.response.destroy();
}

function due(names) {
  const name = names.find((other) => faults.has(other));
  const fault = faults.get(name);
  if (fault?.times !== undefined && (fault.times -= 1) <= 0) faults.delete(name);
  return { name, fault };
}

const TYPE = 'application/json';

// Whether the request has been dealt with.
export async function befall(request, response) {
  const names = [...(request.form?.grant_type === 'refresh_token' ? ['refresh'] : []), request.endpoint, 'all'];
  const { name, fault } = due(names);
  switch (fault?.kind) {
    case 'refuse':
      request.socket.destroy();
      return true;
    case 'hang': {
      const held = { endpoint: name, response };
      hanging.add(held);
      response.on('close', () => hanging.delete(held));
      return true;
    }
    case 'status':
      response.writeHead(fault.status ?? 500, { 'content-type': TYPE, ...fault.headers });
      response.end(fault.body ?? '{"error":"server_error"}');
      return true;
    case 'garbage':
      response.writeHead(200, { 'content-type': TYPE });
      response.end(fault.body ?? '<html>\u0000{"');
      return true;
    case 'endless':
      response.writeHead(200, { 'content-type': TYPE });
      response.write('{"');
      pour(response, 64);
      return true;
    case 'lost':
      request.lost = true;
      return false;
    case 'slow':
      await pause(fault.milliseconds ?? 500);
      return false;
    default:
      return false;
  }
}

// Writes megabytes as fast as they are read, up to a bound that no reader should reach.
function pour(response, left) {
  if (left === 0 || response.destroyed) return response.destroy();
  if (response.write('x'.repeat(1 << 20))) return setImmediate(pour, response, left - 1);
  return response.once('drain', () => pour(response, left - 1));
}
