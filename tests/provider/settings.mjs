// What can be switched while the provider runs, with the value it starts with: INDIGO IAM 1.12 as it comes, except
// that consent is given by itself.

export const PROFILES = ['iam', 'wlcg', 'aarc', 'kc'];
export const PLACES = ['id_token', 'userinfo', 'access_token', 'introspection'];
export const FORGERIES = [
  'none', 'other_key', 'hs256', 'expired', 'wrong_nonce', 'no_nonce', 'wrong_audience', 'extra_audience',
  'wrong_issuer', 'wrong_subject', 'future', 'garbage', 'missing',
];

const DEFAULTS = {
  // The claim dialect of clients whose own scopes name none or several. `keycloak` is another name of `kc`.
  profile: 'iam',
  // Whether groups begin with a slash; null: as the dialect has it, which is yes for `wlcg` alone.
  leading_slash: null,
  // Whether access tokens of the `iam` and `kc` dialects tell who the person is and the groups.
  authn_info: false,
  // Places from which groups are left out.
  hide_groups_in: [],
  organisation: 'specola-test',
  entitlement_prefix: 'urn:example:specola',
  // Whether `iss` in tokens ends with a slash. Discovery always says the issuer with one unless told not to.
  issuer_slash: false,
  discovery_slash: true,
  // The origin that discovery gives for its endpoints, and the issuer it names, when not the true ones.
  discovery_origin: null,
  discovery_issuer: null,
  // Members of the discovery document to replace, or to leave out when null.
  discovery: {},
  // One of FORGERIES: what is wrong with the id tokens issued.
  id_token: null,
  // Whether userinfo speaks of somebody else.
  userinfo_wrong_subject: false,
  access_ttl: 3600,
  id_ttl: 600,
  // 0 is without end.
  refresh_ttl: 2592000,
  code_ttl: 60,
  // The two flags of IAM's clients, for clients that do not set their own.
  reuse_refresh_token: true,
  clear_access_tokens_on_refresh: true,
  // What is said of a refresh token that is not good: `invalid_token`, or `invalid_grant`.
  bad_refresh_token: 'invalid_token',
  // Whether a refresh answers with an id token too.
  id_token_on_refresh: true,
  // Whether the answer of the token endpoint has `scope`.
  scope_in_answer: true,
  // `auto` or `ask`.
  consent: 'auto',
  // IAM has no end_session_endpoint; the route works in any case, this is whether discovery tells of it.
  end_session: false,
  // Who may register a client: `anyone` or `nobody`; and the scopes that registering leaves out without a word.
  registration: 'anyone',
  restricted_scopes: ['ssh-keys'],
  // Whether each change of a client gives it another registration access token, and ends the one before.
  rotate_registration_token: false,
  // Scopes that policy takes away after consent, from everybody.
  denied_scopes: [],
  mfa: false,
};

export const settings = structuredClone(DEFAULTS);

const oneOf = (values) => (value) => values.includes(value);
const whole = (value) => Number.isInteger(value) && value >= 0;
const texts = (value) => Array.isArray(value) && value.every((text) => typeof text === 'string');
const nullOr = (check) => (value) => value === null || check(value);
const text = (value) => typeof value === 'string';

const CHECKS = {
  profile: oneOf(PROFILES),
  leading_slash: nullOr((value) => typeof value === 'boolean'),
  hide_groups_in: (value) => texts(value) && value.every(oneOf(PLACES)),
  discovery_origin: nullOr(text),
  discovery_issuer: nullOr(text),
  discovery: (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  id_token: nullOr(oneOf(FORGERIES)),
  access_ttl: (value) => whole(value) && value > 0,
  id_ttl: (value) => whole(value) && value > 0,
  refresh_ttl: whole,
  code_ttl: (value) => whole(value) && value > 0,
  consent: oneOf(['auto', 'ask']),
  bad_refresh_token: oneOf(['invalid_token', 'invalid_grant']),
  registration: oneOf(['anyone', 'nobody']),
  restricted_scopes: texts,
  denied_scopes: texts,
};

// Takes over all of the changes or, when one is not known or has no sense, none of them.
export function change(changes) {
  const wanted = Object.entries(changes).map(([name, value]) => [name, value === 'keycloak' ? 'kc' : value]);
  for (const [name, value] of wanted) {
    if (!Object.hasOwn(DEFAULTS, name)) throw new Error(`there is no setting ${name}`);
    const check = CHECKS[name] ?? ((other) => typeof other === typeof DEFAULTS[name]);
    if (!check(value)) throw new Error(`${name} cannot be ${JSON.stringify(value)}`);
  }
  Object.assign(settings, Object.fromEntries(wanted));
}
