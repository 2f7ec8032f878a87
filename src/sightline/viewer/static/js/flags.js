/** Flags: marking an image for those who relabel, and the list of what is marked. */

import { getJson, postJson, url } from "./api.js";
import { announce, h, refill } from "./dom.js";
import { count } from "./format.js";
import { link } from "./state.js";

/** Tell the page that the flags of an image are these now. */
function changed(name, flags) {
  document.dispatchEvent(new CustomEvent("sightline:flags", { detail: { name, flags } }));
}

/** Call `fn({name, flags})` when flags change. Returns what ends it. */
export function onFlags(fn) {
  const listener = (event) => fn(event.detail);
  document.addEventListener("sightline:flags", listener);
  return () => document.removeEventListener("sightline:flags", listener);
}

/** Ask which flag and which note `row` ({File_Name, flags}) gets. */
export function flagDialog({ data, catalog }, row) {
  const problem = h("p", { class: "bad", role: "alert" });
  const kinds = catalog.flag_kinds.map((kind, at) =>
    h(
      "label",
      { class: "check" },
      h("input", { type: "radio", name: "kind", value: kind, required: true, prop: { checked: at === 0 } }),
      kind,
    ),
  );
  const note = h("textarea", {
    class: "field",
    rows: 3,
    maxlength: 2000,
    "aria-label": "Note",
    placeholder: "What is wrong, and where (optional)",
  });
  const save = async (event) => {
    event.preventDefault();
    const flag = new FormData(event.target).get("kind");
    await attempt(problem, async () => {
      await postJson("/api/flags", { data, names: [row.File_Name], flag, note: note.value.trim() });
      changed(row.File_Name, [
        ...(row.flags ?? []).filter((each) => each.flag !== flag),
        { flag, note: note.value.trim() },
      ]);
      announce(`Flagged as ${flag}`);
      dialog.close();
    });
  };
  const present = row.flags?.length
    ? h(
        "ul",
        { class: "flag-list" },
        row.flags.map((each) => entry(data, row, each, () => dialog.close())),
      )
    : null;
  const form = h(
    "form",
    { on: { submit: save } },
    h("fieldset", null, h("legend", null, "Flag as"), kinds),
    h("label", { class: "stack" }, "Note", note),
    problem,
    h(
      "div",
      { class: "actions" },
      listButton({ data }),
      h("button", { class: "button", type: "button", on: { click: () => dialog.close() } }, "Cancel"),
      h("button", { class: "button primary" }, "Flag"),
    ),
  );
  const dialog = open(
    "flag-dialog",
    h("h2", null, "Flag ", h("span", { class: "file-name" }, row.File_Name)),
    present,
    form,
  );
}

/** Flags of one image, each with its note and a button that removes it. */
export function entry(data, row, { flag, note }, done = () => {}) {
  const remove = async () => {
    await postJson("/api/flags/remove", { data, names: [row.File_Name], flag });
    changed(
      row.File_Name,
      row.flags.filter((each) => each.flag !== flag),
    );
    announce(`No longer flagged as ${flag}`);
    done();
  };
  const button = h(
    "button",
    { class: "button small", type: "button", "aria-label": `Remove the flag ${flag}` },
    "Remove",
  );
  const problem = h("span", { class: "bad", role: "alert" });
  button.addEventListener("click", () => attempt(problem, remove));
  return h(
    "li",
    null,
    h("span", null, h("strong", null, `⚑ ${flag}`), note ? h("span", { class: "note" }, note) : null, problem),
    button,
  );
}

/** A button that opens the list of all flags of the dataset version. */
export function listButton({ data }) {
  return h("button", { class: "button plain", type: "button", on: { click: () => flagList(data) } }, "All flags");
}

async function flagList(data) {
  const body = h("div", null, h("div", { class: "skeleton" }));
  const csv = h("a", { class: "button", href: url("/api/flags.csv", { data }), download: "flags.csv" }, "Download CSV");
  const dialog = open(
    "flag-dialog wide",
    h("h2", null, `Flags of ${data}`),
    body,
    h(
      "div",
      { class: "actions" },
      csv,
      h("button", { class: "button", type: "button", on: { click: () => dialog.close() } }, "Close"),
    ),
  );
  const draw = async () => {
    const found = await getJson("/api/flags", { data });
    csv.hidden = !found.length;
    refill(
      body,
      found.length
        ? table(data, found, () => {
            dialog.close();
          })
        : h("p", { class: "muted" }, "No image is flagged yet. Press f on an image to flag it."),
    );
  };
  await attempt(body, draw);
}

function table(data, found, leave) {
  const row = (each) =>
    h(
      "tr",
      null,
      h(
        "td",
        null,
        h("a", { href: link({ page: "image", image: each.File_Name }), on: { click: leave } }, each.File_Name),
      ),
      h("td", null, each.flag),
      h("td", null, each.note),
      h(
        "td",
        { class: "muted" },
        String(each.when ?? "")
          .slice(0, 16)
          .replace("T", " "),
      ),
    );
  return [
    h("p", { class: "muted" }, count(found.length, "flag")),
    h(
      "table",
      { class: "table" },
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          ["File", "Flag", "Note", "When"].map((each) => h("th", { scope: "col" }, each)),
        ),
      ),
      h("tbody", null, found.map(row)),
    ),
  ];
}

function open(kind, ...children) {
  const label = { "aria-label": children[0].textContent };
  const dialog = h("dialog", { class: `dialog ${kind}`, ...label, on: { close: () => dialog.remove() } }, children);
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

async function attempt(place, action) {
  try {
    await action();
  } catch (error) {
    place.textContent = error.message;
  }
}
