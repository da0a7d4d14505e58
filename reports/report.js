// Makes the report interactive: sorts, searches, filters and pages the recount queue, enlarges photos, keeps and exports marks.
// It follows DataTables in the same module. Without scripts the page still shows everything and can be printed.

const page = document.body.dataset;
const queue = document.getElementById("queue-table");

const dark = matchMedia("(prefers-color-scheme: dark)");
const followTheme = () => document.documentElement.classList.toggle("dark", dark.matches); // DataTables needs this class
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
      lengthMenu: "Bins per page _MENU_",
      info: "_START_ to _END_ of _TOTAL_ bins",
      infoEmpty: "no bins",
      infoFiltered: "(_MAX_ bins in all)",
      zeroRecords: "No bin matches.",
    },
  });
  const selected = (name) => document.getElementById(`filter-${name}`).value;
  const filters = {
    direction: (row) => !selected("direction") || row.dataset.direction === selected("direction"),
    status: (row) => !selected("status") || row.dataset.status === selected("status"),
    marked: (row) => !selected("marked") || (marks.get(row.dataset.key)?.count !== undefined) === (selected("marked") === "yes"),
  };
  for (const [name, matches] of Object.entries(filters)) {
    table.search.fixed(name, (_text, _data, index) => matches(table.row(index).node()));
    document.getElementById(`filter-${name}`).addEventListener("change", () => table.draw());
  }
  // On a phone the rows are cards without headings, so people sort here.
  document.getElementById("sort-by").addEventListener("change", (event) => {
    const [column, direction] = event.target.value.split(" ");
    table.order([Number(column), direction]).draw();
  });
  // Paper has no paging, so every matching bin is printed.
  let length;
  addEventListener("beforeprint", () => {
    length = table.page.len();
    table.page.len(-1).draw(false);
  });
  addEventListener("afterprint", () => table.page.len(length).draw(false));
  return table;
}

// --- marks ---------------------------------------------------------------------------------------------------------

function storageName() {
  return `reconcile marks: ${page.bucket} ${page.run}`;
}

function keptMarks() {
  try {
    return new Map(Object.entries(JSON.parse(localStorage.getItem(storageName()) ?? "{}")));
  } catch {
    warnThatMarksAreLost();
    return new Map();
  }
}

function keep(marks) {
  try {
    localStorage.setItem(storageName(), JSON.stringify(Object.fromEntries(marks)));
  } catch {
    warnThatMarksAreLost();
  }
}

function warnThatMarksAreLost() {
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
  const updateTally = () => {
    const counted = [...marks.values()].filter((mark) => mark.count !== undefined).length;
    const notes = marks.size - counted;
    const onlyNotes = `; ${notes === 1 ? "1 bin has" : `${notes} bins have`} only a note, which is not exported`;
    document.getElementById("marked").textContent = `${counted} of ${rows.length} marked${notes ? onlyNotes : ""}`;
    document.getElementById("export").disabled = counted === 0;
  };
  // A note without a count is kept, because people may write the note first.
  const change = (row, changes) => {
    const mark = { ...marks.get(row.dataset.key), ...changes };
    if (mark.count === undefined && !mark.note) marks.delete(row.dataset.key);
    else marks.set(row.dataset.key, mark);
    keep(marks);
    updateTally();
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
  // Select the old count, so that typing replaces it.
  body.addEventListener("focusin", (event) => {
    if (event.target.matches(".count")) event.target.select();
  });
  body.addEventListener("change", (event) => {
    const row = event.target.closest("tr");
    if (event.target.matches(".remark")) {
      change(row, { note: event.target.value.trim() || undefined });
    } else if (event.target.matches(".count")) {
      const { value, validity } = event.target;
      // An invalid count stays in the field with a message. The mark does not change.
      row.querySelector(".is-no-count").hidden = validity.valid;
      if (validity.valid) show(row, change(row, { count: value === "" ? undefined : Number(value) }));
    }
  });
  updateTally();
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
  // Excel needs a byte order mark to recognise UTF-8.
  const blob = new Blob(["\ufeff", [names.join(","), ...lines, ""].join("\r\n")], { type: "text/csv" });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `verdicts-${page.run}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

// Write a cell so that no spreadsheet reads it as a formula, even if it splits at semicolons, tabs or line ends.
// `plain_text` in sql/macros.sql follows the same rules.
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
