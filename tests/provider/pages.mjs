// The pages a person meets: signing in (the password is the name), the usage policy, consent, signing out. Plain forms,
// for a browser and for a program alike.

import * as counters from './counters.mjs';
import { errors } from './libraries.mjs';
import * as people from './people.mjs';
import { settings } from './settings.mjs';
import * as store from './store.mjs';

const escaped = (text) => String(text).replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);

const page = (title, body) => `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>${escaped(title)}</title>
<style>body{font:16px/1.5 sans-serif;max-width:26em;margin:4em auto}label,input,button{display:block;margin:.5em 0}</style>
</head><body><h1>${escaped(title)}</h1>${body}</body></html>`;

function send(response, status, title, body) {
  response.writeHead(status, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' });
  response.end(page(title, body));
}

function signIn(response, hint, problem) {
  const told = problem ? `<p role="alert">${escaped(problem)}</p>` : '';
  send(response, problem ? 401 : 200, 'Sign in', `${told}<form method="post">
<label for="name">Name</label><input id="name" name="name" value="${escaped(hint ?? '')}" autocomplete="username" autofocus required>
<label for="password">Password</label><input id="password" name="password" type="password" autocomplete="current-password" required>
<button id="sign-in" type="submit">Sign in</button></form>`);
}

function usagePolicy(response, name) {
  send(response, 200, 'Usage policy', `<p>${escaped(name)}, sign the usage policy to go on.</p>
<form method="post"><button id="sign" type="submit" name="aup" value="signed">I agree</button></form>`);
}

function consent(response, client, scope) {
  const items = scope.split(' ').map((name) => `<li>${escaped(name)}</li>`).join('');
  send(response, 200, 'Consent', `<p>${escaped(client)} asks for:</p><ul>${items}</ul><form method="post">
<button id="allow" type="submit" name="consent" value="yes">Allow</button>
<button id="deny" type="submit" name="consent" value="no">Deny</button></form>`);
}

// `resource` goes first, then `aud`, then `audience`; a list is separated by spaces.
export function audience(params) {
  const given = [params.resource, params.aud, params.audience].find((text) => text) ?? '';
  return given.split(' ').filter(Boolean);
}

// Makes the grant of one sign-in and keeps what was asked for. What policy denies is left out without a word.
export async function grant(provider, person, params) {
  const asked = (params.asked ?? params.scope ?? '').split(' ').filter(Boolean);
  const denied = new Set([...settings.denied_scopes, ...person.denied_scopes]);
  const made = new provider.Grant({ accountId: person.sub, clientId: params.client_id });
  const scopes = (params.scope ?? '').split(' ').filter(Boolean);
  made.addOIDCScope(scopes.join(' '));
  const left = scopes.filter((scope) => denied.has(scope));
  if (left.length > 0) made.rejectOIDCScope(left.join(' '));
  const id = await made.save();
  store.asked.set(id, {
    asked,
    audience: audience(params),
    resource: Boolean(params.resource),
    offline: asked.includes('offline_access') && !denied.has('offline_access'),
  });
  return made;
}

async function login(provider, request, response, details) {
  const { name, password } = request.form ?? {};
  const hint = details.params.login_hint;
  if (request.method !== 'POST') return signIn(response, hint);
  const person = people.named(name);
  if (!person || password !== name) return signIn(response, name, 'Wrong name or password');
  if (person.suspended) return send(response, 403, 'Suspended', '<p role="alert">This account is suspended.</p>');
  counters.loggedIn(name, details.params.client_id);
  const strong = settings.mfa ? { amr: ['pwd', 'otp'], acr: 'https://refeds.org/profile/mfa' } : {};
  return provider.interactionFinished(request, response, { login: { accountId: person.sub, ...strong } });
}

// What stands between signing in and the tokens: the usage policy, and consent.
async function ask(provider, request, response, details) {
  const { params, session } = details;
  const person = people.withSubject(session.accountId);
  if (!person || person.suspended) return send(response, 403, 'Suspended', '<p role="alert">This account is suspended.</p>');
  const { aup, consent: answer } = request.form ?? {};
  if (!person.aup_signed && aup !== 'signed') return usagePolicy(response, person.name);
  people.set(person.name, { aup_signed: true });
  if (settings.consent === 'ask' && !answer) return consent(response, params.client_id, params.asked ?? params.scope);
  if (settings.consent === 'ask' && answer !== 'yes') {
    return provider.interactionFinished(request, response, { error: 'access_denied', error_description: 'User denied access' });
  }
  const made = await grant(provider, person, params);
  return provider.interactionFinished(request, response, { consent: { grantId: made.jti } });
}

export async function interaction(provider, request, response) {
  try {
    const details = await provider.interactionDetails(request, response);
    await (details.prompt.name === 'login' ? login : ask)(provider, request, response, details);
  } catch (error) {
    if (!(error instanceof errors.SessionNotFound)) throw error;
    send(response, 400, 'Too late', '<p role="alert">This sign-in is over. Begin again where you came from.</p>');
  }
}

export function renderError(ctx, out) {
  ctx.type = 'html';
  ctx.body = page('Error', `<p role="alert"><code id="error">${escaped(out.error)}</code> ${escaped(out.error_description ?? '')}</p>`);
}

export function logout(ctx, form) {
  ctx.body = page('Sign out', `${form}<button id="sign-out" type="submit" form="op.logoutForm" name="logout" value="yes">Sign out</button>`);
}

export function loggedOut(ctx) {
  ctx.body = page('Signed out', '<p>You are signed out.</p>');
}
