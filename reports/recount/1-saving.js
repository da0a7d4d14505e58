// The app of `reconcile recount`: one bin a card. Each tap is kept in the browser until the server has it on its disk.

const element = (id) => document.getElementById(id);
const random = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
const POLL_MS = 3000, GUARD_MS = 350, MOST_PHOTOS = 6, UNUSUAL = 99, AT_ONCE = 50;

// --- what the browser keeps ------------------------------------------------------------------------------------------

let keepsNothing = false;
const memory = new Map();
const prefix = "reconcile recount:";
const store = {
  get: (name) => { try { return JSON.parse(localStorage.getItem(prefix + name) ?? "null") ?? memory.get(name); } catch { return memory.get(name); } },
  set: (name, value) => { memory.set(name, value); try { localStorage.setItem(prefix + name, JSON.stringify(value)); } catch { keepsNothing = true; } },
  remove: (name) => { memory.delete(name); try { localStorage.removeItem(prefix + name); } catch { keepsNothing = true; } },
  names: (start) => {
    const names = new Set(memory.keys());
    try { for (const name of Object.keys(localStorage)) if (name.startsWith(prefix)) names.add(name.slice(prefix.length)); } catch { keepsNothing = true; }
    return [...names].filter((name) => name.startsWith(start)).sort();
  },
};
const me = { device: store.get("device") ?? random(), who: store.get("who"), order: store.get("order") ?? "walking", area: store.get("area") ?? null };
store.set("device", me.device);

// An entry has a name of its own, so that two tabs never overwrite each other's.
const unsent = () => store.names("entry:");
const addEntry = (entry) => {
  const number = (store.get("entries") ?? 0) + 1;
  store.set("entries", number);
  store.set(`entry:${String(number).padStart(12, "0")}:${entry.id}`, entry);
};

// --- the server ------------------------------------------------------------------------------------------------------

let token = new URLSearchParams(location.search).get("token");
let needsToken = false, online = true, serverNotices = [], lockedOut = false, ownNotice = "";

async function ask(path, body) {
  const headers = needsToken ? { authorization: `Bearer ${token}` } : {};
  const options = body ? { method: "POST", body: JSON.stringify(body), headers: { ...headers, "content-type": "application/json" } } : { headers };
  const response = await fetch(path, options);
  if (response.status === 401 && token && !needsToken) { // the browser keeps no cookies
    needsToken = true;
    return ask(path, body);
  }
  lockedOut = response.status === 401;
  if (token && !needsToken && response.ok) { // the cookie works, so the token leaves the address
    history.replaceState(null, "", "/");
    token = null;
  }
  return response;
}

let sending = false;
async function send() {
  if (sending || !me.who) return;
  sending = true;
  try {
    for (let names = unsent(); names.length; names = unsent()) {
      const some = names.slice(0, AT_ONCE), entries = some.map(store.get);
      const timed = entries.map((entry) => ({ ...entry, ago: Math.max(0, (Date.now() - entry.at) / 1000) }));
      const response = await ask("/api/entries", { device: me.device, who: entries[0].who, entries: timed.filter((entry) => entry.who === entries[0].who) });
      if (!response.ok) throw new Error(String(response.status));
      online = true;
      for (const result of (await response.json()).results) settle(some, entries, result);
      poll();
    }
  } catch {
    online = false;
    setTimeout(send, POLL_MS);
  } finally {
    sending = false;
    tell();
  }
}

function settle(names, entries, result) {
  const index = entries.findIndex((entry) => entry.id === result.id);
  if (index < 0) return;
  if (!result.saved) store.set(`refused:${result.id}`, `Bin ${entries[index].bin}: ${entries[index].count ?? "–"} was not saved: ${result.reason}`);
  store.remove(names[index]);
  if (last?.id === result.id) showOutcome(Object.assign(last, result));
}

async function begin() { // the queue comes before the first poll, because each request takes a while on a slow network
  if (!queue) {
    show(null);
    await loadQueue().catch(() => { online = false; });
    again = false;
  }
  send();
  poll();
}

let polling = false, again = false, epoch = null, version = 0;
async function poll() {
  if (!me.who || document.visibilityState === "hidden") return;
  if (polling) { again = true; return; }
  polling = true;
  try {
    const isCurrent = queue !== null, holding = [current, next].filter((number) => number !== null);
    const wish = isCurrent && next === null ? { order: me.order, area: me.area, after: current, skipped: pending() } : null;
    const body = { device: me.device, who: me.who, run: queue?.run ?? null, holding, wish, epoch, since: version };
    const response = await ask("/api/poll", body);
    if (!response.ok) throw new Error(String(response.status));
    online = true;
    await use(await response.json());
    if (unsent().length) send();
  } catch {
    online = false;
    if (queue && current === null) showNext();
  } finally {
    polling = false;
    tell();
  }
  if (again) { again = false; poll(); }
}

async function use(state) {
  serverNotices = state.notices;
  if (state.run === null) return;
  if (queue?.run !== state.run) {
    if (current !== null) { hasNewRun = true; return; }
    return loadQueue();
  }
  if (epoch !== state.epoch) bins.clear();
  [epoch, version, taken, progress] = [state.epoch, state.version, state.taken, state.progress];
  for (const [number, bin] of state.bins) bins.set(number, bin);
  if (state.next !== null && next === null && !pending().includes(state.next)) next = state.next;
  if (next !== null) loadPhoto(next);
  const isLost = current !== null && (taken[current] || ["done", "mine", "cannot"].includes(bins.get(current))) && !chosen;
  if (isLost && typed === "" && !pending().includes(current)) {
    ownNotice = taken[current] ? `${taken[current]} counts bin ${card(current).bin} now.` : `Somebody has counted bin ${card(current).bin} meanwhile.`;
    showNext();
  } else if (current === null && element("bins").hidden) {
    showNext();
  }
  if (!element("bins").hidden) showBins();
}

async function loadQueue() {
  const loaded = await (await ask("/api/queue")).json();
  if (!loaded) return;
  queue = loaded;
  hasNewRun = false;
  [current, next, version, epoch, last] = [null, null, 0, null, null];
  cards = new Map(queue.cards.map((one) => [one.n, one]));
  bins.clear();
  photos.clear();
  again = true;
}
