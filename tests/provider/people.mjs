// The people who can sign in, by name. Their password is their name.

import { randomUUID } from 'node:crypto';

const people = new Map();

const FRESH = {
  email: undefined,
  email_verified: true,
  full_name: undefined,
  groups: [],
  // Groups labelled `wlcg.optional-group`: told only when asked for by name.
  optional_groups: [],
  suspended: false,
  aup_signed: true,
  denied_scopes: [],
  // More claims, told in every place.
  claims: {},
};

// Adds a person or changes what is named of one who is there. The subject is made up when it is not given.
export function set(name, changes) {
  const unknown = Object.keys(changes).find((key) => key !== 'sub' && !Object.hasOwn(FRESH, key));
  if (unknown) throw new Error(`a person has no ${unknown}`);
  const before = people.get(name) ?? {
    ...FRESH, name, sub: randomUUID(), email: `${name}@example.org`, full_name: `${name} of the tests`,
  };
  const person = { ...before, ...changes };
  people.set(name, person);
  return person;
}

export const remove = (name) => people.delete(name);
export const named = (name) => people.get(name);
export const all = () => [...people.values()];
export const withSubject = (sub) => all().find((person) => person.sub === sub);
