// The four dialects in which IAM tells who a person is, and what each place says in it.

import { PROFILES, settings } from './settings.mjs';

const REFEDS = 'https://refeds.org';

// A client's own scopes choose the dialect, when they name just one.
export function profileOf(client) {
  const scopes = (client?.scope ?? '').split(' ');
  const own = PROFILES.filter((profile) => scopes.includes(profile));
  return own.length === 1 ? own[0] : settings.profile;
}

const groupList = (groups, slash) => groups.map((group) => (slash ? `/${group}` : group));

// `wlcg.groups:/a` puts /a first; optional groups are told only so.
function wlcgGroups(person, asked) {
  const named = asked.filter((scope) => scope.startsWith('wlcg.groups:')).map((scope) => scope.slice('wlcg.groups:/'.length));
  const first = named.filter((group) => person.groups.includes(group) || person.optional_groups.includes(group));
  return [...new Set([...first, ...person.groups])];
}

function entitlements(person) {
  return person.groups.map((group) => `${settings.entitlement_prefix}:group:${group.split('/').join(':')}`);
}

// The groups as the dialect tells them. Groups that are not there are not told at all: no empty list.
function groups(profile, place, person, scopes, asked) {
  if (settings.hide_groups_in.includes(place)) return {};
  const slash = settings.leading_slash ?? profile === 'wlcg';
  if (profile === 'wlcg') {
    const list = scopes.has('wlcg.groups') ? wlcgGroups(person, asked) : [];
    return list.length ? { 'wlcg.groups': groupList(list, slash) } : {};
  }
  if (person.groups.length === 0) return {};
  if (profile === 'aarc') {
    return {
      ...(scopes.has('eduperson_entitlement') && { eduperson_entitlement: entitlements(person) }),
      ...(scopes.has('entitlements') && { entitlements: entitlements(person) }),
    };
  }
  if (!scopes.has('profile')) return {};
  return { [profile === 'kc' ? 'roles' : 'groups']: groupList(person.groups, slash) };
}

function who(person, scopes) {
  return {
    ...(scopes.has('profile') && { name: person.full_name, preferred_username: person.name }),
    ...(scopes.has('email') && { email: person.email, email_verified: person.email_verified }),
    ...(scopes.has('address') && person.claims.address && { address: person.claims.address }),
  };
}

function aarc(person, scopes) {
  return {
    voperson_id: `${person.sub}@${settings.organisation}`,
    ...(scopes.has('eduperson_scoped_affiliation') && { eduperson_scoped_affiliation: `member@${settings.organisation}` }),
    ...(scopes.has('eduperson_assurance') && { eduperson_assurance: [`${REFEDS}/assurance`, `${REFEDS}/assurance/IAP/low`] }),
  };
}

// What is said of a person in a place, `sub` apart. `scopes` is what was granted, `asked` the scopes as written.
export function claims(place, person, client, scopes, asked) {
  const profile = profileOf(client);
  const inToken = place === 'access_token';
  const silent = inToken && !settings.authn_info && (profile === 'iam' || profile === 'kc');
  const { address, ...more } = person.claims;
  return {
    ...(!silent && (!inToken || settings.authn_info) && who(person, scopes)),
    ...(!silent && groups(profile, place, person, scopes, asked)),
    ...(profile !== 'wlcg' && !silent && scopes.has('profile') && { organisation_name: settings.organisation }),
    ...(profile === 'wlcg' && (inToken || place === 'id_token') && { 'wlcg.ver': '1.0' }),
    ...(profile === 'aarc' && aarc(person, scopes)),
    ...more,
  };
}

export const KNOWN_CLAIMS = [
  'sub', 'name', 'preferred_username', 'email', 'email_verified', 'address', 'organisation_name', 'groups', 'roles',
  'wlcg.groups', 'wlcg.ver', 'eduperson_entitlement', 'entitlements', 'eduperson_scoped_affiliation',
  'eduperson_assurance', 'voperson_id', 'amr', 'acr',
];
