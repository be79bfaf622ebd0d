// What a provider remembers (logins under way, codes, tokens), in memory and bounded: the oldest goes first.
// The interface is oidc-provider's adapter; see "adapter" in its documentation.

const MOST_ENTRIES = 5_000; // of each kind, for each provider

/** The memory of one kind of thing (`Session`, `AccessToken` ...) of one provider. */
export class Memory {
  #entries = new Map();

  #read(id) {
    const entry = this.#entries.get(id);
    if (!entry) return undefined;
    if (entry.ends > Date.now()) return entry.payload;
    this.#entries.delete(id);
    return undefined;
  }

  async upsert(id, payload, seconds = 3600) {
    this.#entries.delete(id); // so that it moves to the young end
    this.#entries.set(id, { payload, ends: Date.now() + seconds * 1000 });
    if (this.#entries.size > MOST_ENTRIES) this.#entries.delete(this.#entries.keys().next().value);
  }

  async find(id) {
    return this.#read(id);
  }

  async findByUid(uid) {
    const found = [...this.#entries].find(([, { payload }]) => payload.uid === uid);
    return found && this.#read(found[0]);
  }

  async findByUserCode() {
    return undefined; // the device flow is off
  }

  async consume(id) {
    const payload = this.#read(id);
    if (payload) payload.consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    this.#entries.delete(id);
  }

  async revokeByGrantId(grantId) {
    for (const [id, { payload }] of this.#entries) {
      if (payload.grantId === grantId) this.#entries.delete(id);
    }
  }
}
