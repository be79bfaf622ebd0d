// Demo institutions: three OpenID providers in one process, for demos and tests on this machine only. See README.md.

import './runtime.mjs';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import { parseArgs } from 'node:util';
import { signingKeys } from './keys.mjs';
import { demoProvider } from './provider.mjs';

const LOOPBACK = /^(localhost|([a-z0-9-]+\.)+localhost|127(\.\d{1,3}){3}|\[::1\])$/;

/** The origin (scheme, host, port) in `text`; throws unless it is http, loopback or *.localhost, and nothing more. */
function loopbackOrigin(text, option) {
  const url = URL.parse(text);
  const plain = url && url.pathname === '/' && !url.search && !url.hash && !url.username && !url.password;
  if (!plain || url.protocol !== 'http:' || !LOOPBACK.test(url.hostname)) {
    throw new Error(
      `${option} is ${text}: demo institutions have known passwords, so they work only on http://localhost:PORT, ` +
        'http://127.0.0.1:PORT or http://NAME.localhost:PORT.',
    );
  }
  return url.origin;
}

function settings() {
  const { values } = parseArgs({
    options: {
      'base-url': { type: 'string', default: 'http://localhost:9400' },
      host: { type: 'string', default: '127.0.0.1' },
      port: { type: 'string', default: '9400' },
      'redirect-base': { type: 'string', multiple: true, default: ['http://localhost:8000'] },
      keys: { type: 'string' },
    },
  });
  // A pod is a network of its own, which policies guard; Kubernetes sets this variable in every one.
  const inPod = values.host === '0.0.0.0' && process.env.KUBERNETES_SERVICE_HOST;
  if (!inPod && !/^(localhost|127(\.\d{1,3}){3}|::1)$/.test(values.host)) {
    throw new Error(`--host is ${values.host}: demo institutions listen on loopback only, for example 127.0.0.1.`);
  }
  const port = Number(values.port);
  if (!Number.isInteger(port) || port < 1 || port > 65535) {
    throw new Error(`--port is ${values.port}: expected a number from 1 to 65535.`);
  }
  return {
    base: loopbackOrigin(values['base-url'], '--base-url'),
    host: values.host,
    port,
    redirectBases: values['redirect-base'].map((text) => loopbackOrigin(text, '--redirect-base')),
    keysFile: values.keys,
  };
}

async function main() {
  const { base, host, port, redirectBases, keysFile } = settings();
  const institutions = JSON.parse(await readFile(new URL('accounts.json', import.meta.url), 'utf8'));
  const keys = await signingKeys(Object.keys(institutions), keysFile);
  const answers = Object.fromEntries(
    Object.entries(institutions).map(([name, institution]) => [
      name,
      demoProvider({ name, institution, base, redirectBases, key: keys[name] }),
    ]),
  );

  const server = http.createServer((request, response) => {
    const [, name] = /^\/([a-z]+)(?=\/)/.exec(request.url) ?? [];
    if (!Object.hasOwn(answers, name ?? '')) {
      response.writeHead(404, { 'content-type': 'text/plain; charset=utf-8' });
      response.end('There is no demo institution at this address.\n');
      return;
    }
    // An issuer has one address, whatever name this request came in under: addresses in answers are made from it.
    request.headers.host = new URL(base).host;
    request.originalUrl = request.url;
    request.url = request.url.slice(name.length + 1);
    answers[name](request, response);
  });

  const stop = () => {
    server.close(() => process.exit(0));
    server.closeAllConnections();
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  server.on('error', fail);
  server.listen(port, host, () => {
    const issuers = Object.fromEntries(Object.keys(institutions).map((name) => [name, `${base}/${name}`]));
    console.log(JSON.stringify({ listening: `http://${host.includes(':') ? `[${host}]` : host}:${port}`, issuers }));
  });
}

function fail(error) {
  const sentence = error.code === 'EADDRINUSE' ? `Port ${error.port} is taken: choose another with --port.` : error.message;
  console.error(`demo institutions: ${sentence}`);
  process.exit(1);
}

main().catch(fail);
