// The photo of a card: fetched when the card comes near, and enlarged with two fingers.

// --- photos ----------------------------------------------------------------------------------------------------------

const photos = new Map();
async function loadPhoto(number) {
  const run = queue.run;
  if (!photos.has(number)) photos.set(number, fetchPhoto(run, number));
  const photo = await photos.get(number);
  if (number !== current || run !== queue?.run) return;
  element("image").hidden = !photo.url;
  element("image").alt = `Photo of bin ${card(number).bin}`;
  if (photo.url && element("image").src !== photo.url) element("image").src = photo.url;
  element("no-photo").textContent = photo.problem ?? "";
}

async function fetchPhoto(run, number) {
  if (number === current) { element("image").hidden = true; element("no-photo").textContent = "The photo is coming."; }
  for (const old of [...photos.keys()].slice(0, -MOST_PHOTOS)) {
    photos.get(old).then(({ url }) => url && URL.revokeObjectURL(url));
    photos.delete(old);
  }
  try {
    const response = await ask(`/photos/${encodeURIComponent(run)}/${number}`);
    if (response.ok) return { url: URL.createObjectURL(await response.blob()) };
    photos.delete(number);
    return { problem: `There is no photo: ${(await response.json()).error}. You can count the bin all the same.` };
  } catch {
    photos.delete(number);
    return { problem: "The photo did not come. You can count the bin all the same." };
  }
}
element("image").addEventListener("error", () => {
  element("image").hidden = true;
  element("no-photo").textContent = "The photo cannot be shown. You can count the bin all the same.";
});

const zoom = { scale: 1, x: 0, y: 0, pointers: new Map(), reset() { Object.assign(this, { scale: 1, x: 0, y: 0 }); this.apply(); },
  apply() {
    const box = element("photo").getBoundingClientRect();
    this.x = Math.min(0, Math.max(box.width * (1 - this.scale), this.x));
    this.y = Math.min(0, Math.max(box.height * (1 - this.scale), this.y));
    element("image").style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
  },
  to(scale, x, y) {
    const wanted = Math.min(8, Math.max(1, scale));
    this.x = x - (x - this.x) * wanted / this.scale;
    this.y = y - (y - this.y) * wanted / this.scale;
    this.scale = wanted;
    this.apply();
  } };
const inPhoto = (event) => { const box = element("photo").getBoundingClientRect(); return { x: event.clientX - box.left, y: event.clientY - box.top }; };
const spread = ([one, two]) => ({ size: Math.hypot(one.x - two.x, one.y - two.y), x: (one.x + two.x) / 2, y: (one.y + two.y) / 2 });
element("photo").addEventListener("pointerdown", (event) => { zoom.pointers.set(event.pointerId, inPhoto(event)); element("photo").setPointerCapture(event.pointerId); });
element("photo").addEventListener("pointermove", (event) => {
  if (!zoom.pointers.has(event.pointerId)) return;
  const before = [...zoom.pointers.values()], was = zoom.pointers.get(event.pointerId), now = inPhoto(event);
  zoom.pointers.set(event.pointerId, now);
  if (before.length === 2) {
    const from = spread(before), to = spread([...zoom.pointers.values()]);
    zoom.to(zoom.scale * to.size / Math.max(1, from.size), to.x, to.y);
  } else { zoom.x += now.x - was.x; zoom.y += now.y - was.y; zoom.apply(); }
});
for (const name of ["pointerup", "pointercancel"]) element("photo").addEventListener(name, (event) => zoom.pointers.delete(event.pointerId));
element("photo").addEventListener("dblclick", (event) => { const { x, y } = inPhoto(event); zoom.to(zoom.scale > 1 ? 1 : 3, x, y); });
element("photo").addEventListener("wheel", (event) => { event.preventDefault(); const { x, y } = inPhoto(event); zoom.to(zoom.scale * (event.deltaY < 0 ? 1.25 : 0.8), x, y); }, { passive: false });
