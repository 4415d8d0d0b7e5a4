// Checks a token as a careful client does. Arguments: the address of the keys, the token, the issuer, the audience (none:
// not checked). Prints the claims; refuses with exit code 3 and the reason.

import { jose } from './libraries.mjs';

const [keys, token, issuer, audience] = process.argv.slice(2);
try {
  const set = jose.createRemoteJWKSet(new URL(keys));
  const { payload } = await jose.jwtVerify(token, set, { issuer, audience, algorithms: ['RS256'] });
  console.log(JSON.stringify(payload));
} catch (error) {
  if (!(error instanceof jose.errors.JOSEError)) throw error;
  console.error(`${error.code} ${error.message}`);
  process.exitCode = 3;
}
