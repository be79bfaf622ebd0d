// Run in a new proxy's pod before it gets requests: take over the routes of the proxy that has them until now.
// take-routes.mjs FROM TO: addresses of the two APIs. Never fails: without an old proxy the hub writes the routes.

const [from, to] = process.argv.slice(2);
const headers = { authorization: `token ${process.env.CONFIGPROXY_AUTH_TOKEN}`, 'content-type': 'application/json' };

/** The answer of our own proxy, which may need a moment until it listens. */
async function patiently(url, options) {
  for (let tries = 0; tries < 100; tries++) {
    try {
      return await fetch(url, options);
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
  throw new Error(`${url} does not answer`);
}

try {
  const answer = await fetch(`${from}/api/routes`, { headers, signal: AbortSignal.timeout(3000) });
  if (!answer.ok) throw new Error(`${from} answers ${answer.status}`);
  for (const [path, data] of Object.entries(await answer.json())) {
    await patiently(`${to}/api/routes${encodeURI(path)}`, { method: 'POST', headers, body: JSON.stringify(data) });
  }
} catch (error) {
  console.error(`No routes taken over: ${error.message}`);
}
