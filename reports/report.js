// What the report can do: sort, search, filter and page the recount queue; enlarge photos; keep and export what was found.
// It follows DataTables in the same module. Without it the page still shows everything, and can be printed.

const page = document.body.dataset;
const queue = document.getElementById("queue-table");

const dark = matchMedia("(prefers-color-scheme: dark)");
const followTheme = () => document.documentElement.classList.toggle("dark", dark.matches); // DataTables asks for this class
dark.addEventListener("change", followTheme);
followTheme();

if (queue) start();

function start() {
  for (const hidden of document.querySelectorAll(".scripted")) hidden.hidden = false;
  const rows = [...queue.tBodies[0].rows];
  const marks = keptMarks();
  rows.forEach((row) => show(row, marks.get(row.dataset.key)));
  const table = makeTable(marks);
  listenForMarks(rows, marks, table);
  listenForPhotos(table);
  document.getElementById("export").addEventListener("click", () => exportMarks(rows, marks));
}

// --- the table -----------------------------------------------------------------------------------------------------

function makeTable(marks) {
  const table = new DataTable(queue, {
    autoWidth: false,
    pageLength: 25,
    lengthMenu: [10, 25, 50, 100, -1],
    order: [[0, "asc"]],
    layout: { topStart: "search", topEnd: "pageLength", bottomStart: "info", bottomEnd: "paging" },
    language: {
      search: "Search",
      lengthMenu: "Bins a page _MENU_",
      info: "_START_ to _END_ of _TOTAL_ bins",
      infoEmpty: "no bins",
      infoFiltered: "(of _MAX_)",
      zeroRecords: "No bin fits.",
    },
  });
  const chosen = (name) => document.getElementById(`filter-${name}`).value;
  const fits = {
    direction: (row) => !chosen("direction") || row.dataset.direction === chosen("direction"),
    status: (row) => !chosen("status") || row.dataset.status === chosen("status"),
    marked: (row) => !chosen("marked") || (marks.get(row.dataset.key)?.count !== undefined) === (chosen("marked") === "yes"),
  };
  for (const [name, fit] of Object.entries(fits)) {
    table.search.fixed(name, (_text, _data, index) => fit(table.row(index).node()));
    document.getElementById(`filter-${name}`).addEventListener("change", () => table.draw());
  }
  // For cards, which have no headings to click.
  document.getElementById("sort-by").addEventListener("change", (event) => {
    const [column, direction] = event.target.value.split(" ");
    table.order([Number(column), direction]).draw();
  });
  // On paper there are no pages to turn: every bin that fits is printed.
  let length;
  addEventListener("beforeprint", () => {
    length = table.page.len();
    table.page.len(-1).draw(false);
  });
  addEventListener("afterprint", () => table.page.len(length).draw(false));
  return table;
}

// --- what was found ------------------------------------------------------------------------------------------------

function storageName() {
  return `reconcile marks: ${page.bucket} ${page.run}`;
}

function keptMarks() {
  try {
    return new Map(Object.entries(JSON.parse(localStorage.getItem(storageName()) ?? "{}")));
  } catch {
    sayNothingIsKept();
    return new Map();
  }
}

function keep(marks) {
  try {
    localStorage.setItem(storageName(), JSON.stringify(Object.fromEntries(marks)));
  } catch {
    sayNothingIsKept();
  }
}

function sayNothingIsKept() {
  document.getElementById("storage-note").hidden = false;
}

function show(row, mark) {
  const count = mark?.count;
  row.classList.toggle("is-marked", count !== undefined);
  row.querySelector(".right").setAttribute("aria-pressed", String(count === Number(row.dataset.expected)));
  row.querySelector(".count").value = count ?? "";
  row.querySelector(".remark").value = mark?.note ?? "";
  row.querySelector(".is-no-count").hidden = true;
  row.querySelector(".on-paper").textContent = `found: ${count ?? "______"}`;
}

function listenForMarks(rows, marks, table) {
  const tell = () => {
    const counted = [...marks.values()].filter((mark) => mark.count !== undefined).length;
    const notes = marks.size - counted;
    const left = notes ? `; ${notes} with a note and no count, not exported` : "";
    document.getElementById("marked").textContent = `${counted} of ${rows.length} marked${left}`;
    document.getElementById("export").disabled = counted === 0;
  };
  // A note is kept without a count, too: it may be written first.
  const change = (row, changes) => {
    const mark = { ...marks.get(row.dataset.key), ...changes };
    if (mark.count === undefined && !mark.note) marks.delete(row.dataset.key);
    else marks.set(row.dataset.key, mark);
    keep(marks);
    tell();
    return mark;
  };
  const body = queue.tBodies[0];
  body.addEventListener("click", (event) => {
    const button = event.target.closest(".right");
    if (!button) return;
    const row = button.closest("tr");
    const isUndone = button.getAttribute("aria-pressed") === "true";
    show(row, change(row, { count: isUndone ? undefined : Number(row.dataset.expected) }));
  });
  // What is typed next replaces what stands there, instead of joining it.
  body.addEventListener("focusin", (event) => {
    if (event.target.matches(".count")) event.target.select();
  });
  body.addEventListener("change", (event) => {
    const row = event.target.closest("tr");
    if (event.target.matches(".remark")) {
      change(row, { note: event.target.value.trim() || undefined });
    } else if (event.target.matches(".count")) {
      const { value, validity } = event.target;
      // What is no count is said and left to be mended; the mark stays as it was.
      row.querySelector(".is-no-count").hidden = validity.valid;
      if (validity.valid) show(row, change(row, { count: value === "" ? undefined : Number(value) }));
    }
  });
  tell();
  table.draw(false);
}

function exportMarks(rows, marks) {
  const names = ["bin_id", "run_id", "true_count", "note", "image_key", "expected_quantity"];
  const lines = rows
    .filter((row) => marks.get(row.dataset.key)?.count !== undefined)
    .map((row) => {
      const { count, note } = marks.get(row.dataset.key);
      return [row.dataset.bin, page.run, count, note ?? "", row.dataset.key, row.dataset.expected].map(cell).join(",");
    });
  // With a byte order mark, Excel takes it for the UTF-8 that it is.
  const blob = new Blob(["\ufeff", [names.join(","), ...lines, ""].join("\r\n")], { type: "text/csv" });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `verdicts-${page.run}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

// No spreadsheet takes it for a formula, also where it splits at semicolons, tabs or line ends; as `plain_text` in sql/macros.sql.
function cell(value) {
  const text = String(value)
    .replace(/^([\s\p{Z}\p{C}]*[=+\-@＝＋－＠]|[\t\r\n])/u, "'$1")
    .replace(/([;\t\r\n][\s\p{Z}\p{C}"]*)([=+\-@＝＋－＠])/gu, "$1'$2");
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

// --- photos --------------------------------------------------------------------------------------------------------

function listenForPhotos(table) {
  const dialog = document.getElementById("enlarged");
  let shown = null;
  const open = (button) => {
    shown = button;
    const row = button.closest("tr");
    dialog.querySelector("h2").textContent = `Bin ${row.dataset.bin}, ${row.dataset.expected} on record`;
    dialog.querySelector("img").src = button.querySelector("img").src;
    dialog.querySelector("img").alt = `Photo of bin ${row.dataset.bin}`;
    if (!dialog.open) dialog.showModal();
  };
  const step = (by) => {
    const buttons = table
      .rows({ search: "applied", order: "applied" })
      .nodes()
      .toArray()
      .map((row) => row.querySelector(".enlarge"))
      .filter(Boolean);
    const next = buttons[buttons.indexOf(shown) + by];
    if (next) open(next);
  };
  queue.tBodies[0].addEventListener("click", (event) => {
    const button = event.target.closest(".enlarge");
    if (button) open(button);
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || event.target.closest("[data-close]")) dialog.close();
    const stepper = event.target.closest("[data-step]");
    if (stepper) step(Number(stepper.dataset.step));
  });
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
}
