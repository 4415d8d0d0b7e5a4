// What the provider remembers, in memory: the adapter that oidc-provider asks for, and what it does not keep by itself.
// The rules of refresh tokens are IAM's: a rotated one is deleted at once, so that who comes second gets
// `invalid_grant` and the chain of who came first lives on.

import { errors } from './libraries.mjs';

const GRANTED = new Set(['AccessToken', 'AuthorizationCode', 'RefreshToken']);
const records = new Map();

const now = () => Date.now() / 1000;

export class Adapter {
  constructor(model) {
    this.model = model;
    if (!records.has(model)) records.set(model, new Map());
    this.records = records.get(model);
  }

  async upsert(id, payload, ttl) {
    this.records.set(id, { payload, ends: ttl ? now() + ttl : Infinity });
  }

  async find(id) {
    const record = this.records.get(id);
    if (!record) return undefined;
    if (record.ends <= now()) {
      this.records.delete(id);
      return undefined;
    }
    return record.payload;
  }

  async findByUid(uid) {
    for (const [id, { payload }] of this.records) if (payload.uid === uid) return this.find(id);
    return undefined;
  }

  async consume(id) {
    const record = this.records.get(id);
    if (this.model === 'RefreshToken') {
      if (!this.records.delete(id)) throw new errors.InvalidGrant('refresh token not found');
      return;
    }
    record.payload.consumed = Math.floor(now());
  }

  async destroy(id) {
    this.records.delete(id);
  }

  async revokeByGrantId(grantId) {
    if (!GRANTED.has(this.model)) return;
    for (const [id, { payload }] of this.records) if (payload.grantId === grantId) this.records.delete(id);
  }
}

const of = (model) => records.get(model) ?? new Map();

export const alive = (model, id) => (of(model).get(id)?.ends ?? 0) > now();
export const payload = (model, id) => of(model).get(id)?.payload;
export const destroy = (model, id) => of(model).delete(id);

// Deletes every access token of a grant but one.
export function clearAccessTokens(grantId, kept) {
  for (const [id, { payload: token }] of of('AccessToken')) {
    if (token.grantId === grantId && id !== kept) of('AccessToken').delete(id);
  }
}

// Deletes all that was given out for a person, as an administrator of IAM can. Sessions stay.
export function revokePerson(sub) {
  for (const model of [...GRANTED, 'Grant']) {
    for (const [id, { payload: token }] of of(model)) if (token.accountId === sub) of(model).delete(id);
  }
}

export function endSessions() {
  of('Session').clear();
}

export function putClient(metadata) {
  new Adapter('Client').upsert(metadata.client_id, metadata);
}

export const client = (id) => payload('Client', id);
export const clients = () => [...of('Client').values()].map((record) => record.payload);

// What was asked for when a grant was made: the scope as it was written, and the audience.
export const asked = new Map();
