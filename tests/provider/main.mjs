// An OpenID Connect provider that behaves as INDIGO IAM does, for tests. It listens on 127.0.0.1 alone.
//
// Arguments: the port of the provider and of its control endpoint (0: any), and the host that its own addresses name
// (127.0.0.1 when left out; `localhost` is another site to a browser). When both listen it prints one line of JSON,
// `{"issuer":…,"control":…}`. It ends when its standard input does.

import { createServer } from 'node:http';
import { once } from 'node:events';

import { control } from './control.mjs';
import * as engine from './engine.mjs';
import { handle } from './front.mjs';

const LOOPBACK = '127.0.0.1';
const [port = '0', controlPort = '0', host = LOOPBACK] = process.argv.slice(2);

function listening(handler, at) {
  const server = createServer(handler);
  server.keepAliveTimeout = 5000;
  server.listen(Number(at), LOOPBACK);
  return once(server, 'listening').then(() => server);
}

const safely = async (request, response) => {
  try {
    await handle(request, response);
  } catch (error) {
    console.error(error);
    if (!response.headersSent) response.writeHead(500);
    response.end();
  }
};

let server = await listening(safely, port);
const own = server.address().port;

const switchable = {
  async down() {
    const closed = new Promise((resolve) => { server.close(resolve); });
    server.closeAllConnections();
    await closed;
  },
  async up() {
    if (!server.listening) server = await listening(safely, own);
  },
};

const controlServer = await listening(control(switchable), controlPort);
engine.open(`http://${host}:${own}`);
process.stdin.on('end', () => process.exit(0)).on('error', () => process.exit(0)).resume();
console.log(JSON.stringify({ issuer: engine.origin, control: `http://${LOOPBACK}:${controlServer.address().port}` }));
