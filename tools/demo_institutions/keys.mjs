// Signing keys: one RSA key for each institution, kept in a file so that a restart does not look like a key rotation.

import { createHash, generateKeyPair, randomBytes } from 'node:crypto';
import { open, readFile, rename, rm, stat } from 'node:fs/promises';
import { promisify } from 'node:util';

/** A new RSA key as a private JWK; its `kid` is its thumbprint (RFC 7638). */
async function newKey() {
  const { privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength: 2048 });
  const jwk = privateKey.export({ format: 'jwk' });
  const thumbprint = JSON.stringify({ e: jwk.e, kty: jwk.kty, n: jwk.n });
  const kid = createHash('sha256').update(thumbprint).digest('base64url');
  return { ...jwk, use: 'sig', alg: 'RS256', kid };
}

async function readKeys(file) {
  let text;
  try {
    if ((await stat(file)).mode & 0o077) throw new Error(`Others can read the keys in ${file}: chmod 600 it, or remove it.`);
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return {};
    throw error;
  }
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`The keys in ${file} cannot be read: remove the file, and new ones are made.`);
  }
}

async function writeKeys(file, keys) {
  const beside = `${file}.${randomBytes(6).toString('hex')}`;
  try {
    const handle = await open(beside, 'wx', 0o600);
    await handle.writeFile(JSON.stringify(keys));
    await handle.sync();
    await handle.close();
    await rename(beside, file);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
}

/** The key of each institution in `names`, from `file` when there is one; missing ones are made and kept there. */
export async function signingKeys(names, file) {
  const kept = file ? await readKeys(file) : {};
  const missing = names.filter((name) => !kept[name]);
  const made = await Promise.all(missing.map(async (name) => [name, await newKey()]));
  const keys = { ...kept, ...Object.fromEntries(made) };
  if (file && made.length) await writeKeys(file, keys);
  return keys;
}
