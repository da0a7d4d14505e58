// Cards, taps, the list of bins, and lines for people.

// --- cards -----------------------------------------------------------------------------------------------------------

let queue = null, cards = new Map(), taken = {}, progress = null, hasNewRun = false;
let current = null, next = null, last = null, typed = "", chosen = false;
const bins = new Map();
const card = (number) => cards.get(number);
const pending = () => unsent().map(store.get).filter((entry) => entry.run === queue?.run && entry.action !== "undo").map((entry) => entry.number);
const inOrder = () => (me.order === "chance" ? queue.cards.map((one) => one.n) : queue.walking).filter((number) => me.area === null || card(number).parts[0] === me.area);

function nextOffline() {
  const order = inOrder(), start = order.indexOf(last?.number) + 1, waiting = new Set(pending());
  return [...order.slice(start), ...order.slice(0, start)].find((number) => (bins.get(number) ?? "open") === "open" && !taken[number] && !waiting.has(number)) ?? null;
}

function showNext() {
  if (hasNewRun) { current = null; queue = null; poll(); return show(null); }
  const number = next ?? (online ? null : nextOffline());
  next = null;
  show(number);
  poll();
}

function show(number, isChosen = false) {
  current = number;
  chosen = isChosen;
  type("");
  guard();
  element("bins").hidden = element("who").hidden = true;
  element("card").hidden = element("entry").hidden = number === null;
  element("end").hidden = number !== null;
  element("show-bins").hidden = queue === null;
  element("remarks").hidden = true;
  element("remark").setAttribute("aria-expanded", "false");
  const draft = store.get("draft");
  const isDraft = draft?.run === queue?.run && draft?.number === number;
  element("note").value = isDraft ? draft.note : "";
  if (element("reason")) element("reason").value = isDraft ? draft.reason : "";
  if (number === null) return showEnd();
  const { bin, parts, items, record, photo } = card(number);
  element("bin").textContent = bin;
  element("parts").replaceChildren(...parts.map((part, index) => line("li", `${queue.parts[index]} `, part)).filter((_, index) => parts[index]));
  element("items").replaceChildren(...items.map((name) => line("li", name)));
  element("open-record").hidden = element("correct").hidden = record === undefined;
  element("open-record").textContent = `Record ${record}, the photo shows ${photo}`;
  element("correct").textContent = `Record is correct: ${record}`;
  zoom.reset();
  loadPhoto(number);
  tell();
}

function line(tag, text, strong) {
  const made = document.createElement(tag);
  made.append(text);
  if (strong !== undefined) made.append(Object.assign(document.createElement("b"), { textContent: strong }));
  return made;
}

function showEnd() {
  const isDone = progress && progress.done + progress.cannot === progress.total && !unsent().length;
  element("end-title").textContent = isDone ? "All bins are done" : queue ? "Nothing is left for you now" : "Waiting";
  let text = queue ? "Others count the remaining bins, or have to count them again." : "The list of bins comes soon.";
  if (isDone) {
    text = `${progress.done} bins counted, ${progress.wrong} records wrong.`;
    if (progress.expected !== null && progress.expected !== undefined) text += ` We expected about ${progress.expected} (${progress.low} to ${progress.high}).`;
    if (progress.cannot) text += ` ${progress.cannot} could not be counted.`;
  } else if (me.area !== null) text = `Nothing is left in ${me.area}. Choose another one under Bins.`;
  element("end-text").textContent = text;
}

function guard() { // the second half of a double tap must not count the next bin
  const buttons = document.querySelectorAll("#entry button");
  for (const button of buttons) button.disabled = true;
  setTimeout(() => { for (const button of buttons) button.disabled = false; }, GUARD_MS);
}

// --- taps ------------------------------------------------------------------------------------------------------------

function enter(action, count, more = {}) {
  const { bin } = card(more.number ?? current);
  const note = element("note").value.trim() || null, reason = element("reason")?.value || null;
  const entry = { id: random(), who: me.who, run: queue.run, number: current, bin, action, count, note, reason, at: Date.now(), ...more };
  addEntry(entry);
  return entry;
}

function finish(action, count = null) {
  if (count > UNUSUAL && !confirm(`${count} items. Is that correct?`)) return;
  const number = current;
  last = enter(action, count);
  store.remove("draft");
  bins.set(number, action === "count" ? "done" : "cannot");
  ownNotice = "";
  showOutcome(last);
  send();
  showNext();
}

function showOutcome(entry) {
  element("last").hidden = false;
  let text = `Bin ${entry.bin}: `;
  if (entry.action === "cannot") text += "cannot be counted.";
  else if (entry.record === undefined) text += `${entry.count} ${entry.saved === false ? "was not saved" : "is saved on this phone"}.`;
  else text += `Record ${entry.record}, you found ${entry.count}.`;
  if (entry.second) text += " Another person counts it again.";
  if (entry.other) text += ` ${entry.other.who} found ${entry.other.found}; both are kept, yours is used.`;
  element("outcome").textContent = text;
  const differs = entry.record !== undefined && entry.record !== entry.count;
  element("last-reason").hidden = !differs || element("last-reason").length < 2;
  element("last-reason").value = entry.reason ?? "";
}

function undo() {
  if (!last || last.run !== queue?.run) return;
  const { number, bin, id, note, reason } = last;
  enter("undo", null, { number, bin, withdraws: id, note: null, reason: null });
  for (const earlier of last.earlier ?? []) enter("undo", null, { number, bin, withdraws: earlier, note: null, reason: null });
  bins.set(number, "open");
  next = current;
  store.set("draft", { run: queue.run, number, note: note ?? "", reason: reason ?? "" });
  last = null;
  element("last").hidden = true;
  send();
  show(number, true);
  poll();
}

function explain() {
  const { number, bin, count, note, id, earlier } = last;
  const changed = enter("count", count, { number, bin, note, reason: element("last-reason").value || null });
  last = Object.assign(last, changed, { earlier: [...(earlier ?? []), id] });
  send();
}

function type(text) {
  typed = text;
  const isLarge = element("more").getAttribute("aria-pressed") === "true";
  element("large").hidden = !isLarge;
  element("typed").textContent = text || "–";
  element("save").textContent = text ? `Save ${Number(text)}` : "Save";
  element("save").disabled = text === "";
}

function setLarge(isLarge) {
  element("more").setAttribute("aria-pressed", String(isLarge));
  type("");
}

// --- the list of bins ------------------------------------------------------------------------------------------------

function showBins() {
  const words = { open: "", done: "done", mine: "another person counts it again", second: "count again", cannot: "cannot be counted" };
  const waiting = new Set(pending());
  element("bin-list").replaceChildren(...inOrder().map((number) => {
    const state = waiting.has(number) ? "done" : bins.get(number) ?? "open", item = document.createElement("li"), button = document.createElement("button");
    button.type = "button";
    button.value = number;
    button.disabled = Boolean(taken[number]) || ["done", "mine"].includes(state);
    button.append(line("span", card(number).bin), line("span", taken[number] ? `${taken[number]} is there` : number === current ? "on your screen" : words[state]));
    item.append(button);
    return item;
  }));
}

function openBins() {
  for (const id of ["card", "end", "entry", "who"]) element(id).hidden = true;
  element("bins").hidden = false;
  element("order").value = me.order;
  const areas = [...new Set(queue.cards.map((one) => one.parts[0]).filter(Boolean))].sort(new Intl.Collator(undefined, { numeric: true }).compare);
  element("area").hidden = element("area-label").hidden = !areas.length;
  element("area-label").textContent = queue.parts[0] ?? "";
  element("area").replaceChildren(new Option("all", ""), ...areas.map((area) => new Option(area, `=${area}`)));
  element("area").value = me.area === null ? "" : `=${me.area}`;
  showBins();
}

// --- lines for people ------------------------------------------------------------------------------------------------

function tell() {
  const waiting = unsent().length, lines = [...serverNotices];
  if (lockedOut) lines.unshift("The server does not know this phone. Scan the QR code again; your counts stay on the phone.");
  else if (!online) lines.unshift(`No network. ${waiting ? `${waiting} taps wait on this phone. ` : ""}Keep counting.`);
  if (keepsNothing) lines.push("This browser keeps nothing: do not close the page while taps wait.");
  if (hasNewRun) lines.push("A new run has finished. It takes over at the next card.");
  if (ownNotice) lines.push(ownNotice);
  lines.push(...store.names("refused:").map(store.get));
  element("notice").hidden = !lines.length;
  element("notice").textContent = lines.join(" ");
  if (progress) {
    const cannot = progress.cannot ? ` · ${progress.cannot} cannot be counted` : "", second = progress.second ? ` · ${progress.second} to count again` : "";
    element("progress").textContent = `${progress.done} of ${progress.total} done · ${progress.wrong} wrong so far${second}${cannot}`;
  }
  if (current === null && !element("end").hidden) showEnd();
}

function askName() {
  for (const id of ["card", "end", "entry", "bins"]) element(id).hidden = true;
  element("who").hidden = false;
  element("name").value = me.who ?? "";
  element("name").focus();
}
