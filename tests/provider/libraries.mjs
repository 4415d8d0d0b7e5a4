// The npm packages. They are installed below the build folder, not beside these files, so they are looked up in the
// folder that SPECOLA_PROVIDER names, or from here when it is not set.

import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const folder = process.env.SPECOLA_PROVIDER;
const require = createRequire(folder ? pathToFileURL(join(folder, 'package.json')) : import.meta.url);
const load = (name) => import(pathToFileURL(require.resolve(name)));

export const { Provider, errors } = await load('oidc-provider');
export const jose = await load('jose');
