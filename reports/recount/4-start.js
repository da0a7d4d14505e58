// Connects buttons and fields, and starts the app.

element("who").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = element("name").value.trim();
  if (!name) return;
  store.set("who", me.who = name);
  if (queue) show(current);
  begin();
});
for (const digit of document.querySelectorAll(".digit")) {
  digit.addEventListener("click", () => {
    if (element("more").getAttribute("aria-pressed") !== "true") finish("count", Number(digit.value));
    else if (typed.length < 5) type(typed + digit.value);
  });
}
element("more").addEventListener("click", () => setLarge(element("more").getAttribute("aria-pressed") !== "true"));
element("erase").addEventListener("click", () => type(typed.slice(0, -1)));
element("save").addEventListener("click", () => { const count = Number(typed); setLarge(false); finish("count", count); });
element("correct").addEventListener("click", () => finish("count", card(current).record));
element("cannot").addEventListener("click", () => finish("cannot"));
element("undo").addEventListener("click", undo);
element("last-reason").addEventListener("change", explain);
element("remark").addEventListener("click", () => {
  element("remarks").hidden = !element("remarks").hidden;
  element("remark").setAttribute("aria-expanded", String(!element("remarks").hidden));
});
for (const field of [element("note"), element("reason")]) {
  field?.addEventListener("input", () => store.set("draft", { run: queue?.run, number: current, note: element("note").value, reason: element("reason")?.value ?? "" }));
}
element("show-bins").addEventListener("click", () => (element("bins").hidden ? openBins() : show(current, chosen)));
element("bin-list").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  next = null;
  show(Number(button.value), true);
  poll();
});
const choose = (name, value) => { store.set(name, me[name] = value); next = null; current = null; openBins(); poll(); };
element("order").addEventListener("change", (event) => choose("order", event.target.value));
element("area").addEventListener("change", (event) => choose("area", event.target.value ? event.target.value.slice(1) : null));
element("change-name").addEventListener("click", askName);
addEventListener("online", () => { send(); poll(); });
document.addEventListener("visibilitychange", () => { if (document.visibilityState === "visible") { send(); poll(); } });
setInterval(poll, POLL_MS);
if (me.who) begin(); else askName();
