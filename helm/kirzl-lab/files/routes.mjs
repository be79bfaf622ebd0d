// A new proxy takes over the routes of the one that has them until now, before it gets requests:
//   routes.mjs take ADDRESS   before the proxy starts: the other proxy's routes into a file
//   routes.mjs give ADDRESS   when it starts: from the file into its own table
// Neither fails: without another proxy, and after a proxy that died, the hub writes the routes.

import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const FILE = '/tmp/routes.json';
const [what, address] = process.argv.slice(2);
const headers = { authorization: `token ${process.env.CONFIGPROXY_AUTH_TOKEN}`, 'content-type': 'application/json' };

/** The answer to a request, tried again for so many milliseconds while nobody answers. */
async function ask(path, patience, options = {}) {
  const end = Date.now() + patience;
  for (;;) {
    try {
      const answer = await fetch(`${address}/api/routes${path}`, { headers, signal: AbortSignal.timeout(2000), ...options });
      if (!answer.ok) throw new Error(`answers ${answer.status}`);
      return answer;
    } catch (error) {
      if (Date.now() > end) throw error;
      await sleep(200);
    }
  }
}

try {
  if (what === 'take') {
    const began = Date.now();
    // It takes a moment until network policies know a new pod.
    const { '/': _, ...routes } = await (await ask('', 4000)).json();
    writeFileSync(FILE, JSON.stringify(routes));
    console.log(`Took over ${Object.keys(routes).length} routes in ${Date.now() - began} ms.`);
  } else {
    const routes = JSON.parse(readFileSync(FILE, 'utf8'));
    rmSync(FILE); // a proxy that begins again in this pod must not bring back what has changed since
    for (const [path, data] of Object.entries(routes)) {
      await ask(encodeURI(path), 10000, { method: 'POST', body: JSON.stringify(data) });
    }
  }
} catch (error) {
  console.log(`No routes to ${what}: ${error.cause?.message ?? error.message}`);
}
