/** Boot, frame and pages: one page module is shown at a time, with rail and inspector beside it where it wants them. */

import { ApiError, getJson } from "./api.js";
import { setClasses } from "./colors.js";
import { announce, command, h, refill } from "./dom.js";
import { mountFilters } from "./filters.js";
import { showHelp } from "./help.js";
import { mountInspector } from "./inspector.js";
import { bind } from "./keys.js";
import { digit, mountLegend, stepOpacity } from "./legend.js";
import { onChange, page, paintKeys, param, set } from "./state.js";
import { mountTopbar } from "./topbar.js";

const NAMES = ["overview", "images", "image", "classes", "split", "run", "compare", "report"];
const place = (id) => document.getElementById(id);
const narrow = matchMedia("(max-width: 800px)");

let catalog = null;
let leave = null;
let turn = 0;
let shownModule = null;

async function boot() {
  try {
    catalog = await getJson("/api/catalog");
    pin();
    await readClasses();
  } catch (error) {
    refill(
      place("content"),
      errorBox(error, () => location.reload()),
    );
    return;
  }
  document.title = `${catalog.project} · Sightline`;
  mountTopbar(place("top"), catalog, { help: showHelp, drawer });
  mountLegend(place("legend"));
  place("legend").hidden = !catalog.datasets.length;
  bind({
    digit,
    "[": () => stepOpacity(-1),
    "]": () => stepOpacity(1),
    "?": showHelp,
    Escape: () => (document.body.dataset.drawer ? drawer(null) : false),
  });
  narrow.addEventListener("change", () => drawer(null));
  onChange(changed);
  await show();
}

/** Write the defaults into the address: tomorrow's newest version must not change what a link of today shows. */
function pin() {
  const latest = catalog.datasets.find((each) => each.latest) ?? catalog.datasets[0];
  if (!param("data") && latest) set({ data: latest.spec }, { replace: true });
  const newest = catalog.evaluations.find((each) => each.raw === param("data"));
  if (param("a") === null && newest) set({ a: newest.spec }, { replace: true });
}

async function readClasses() {
  if (param("data")) setClasses(await getJson("/api/classes", { data: param("data") }));
}

async function changed(keys) {
  if ([...keys].every((key) => paintKeys.includes(key))) return;
  const always = ["page", "data", "a", "b"];
  if (shownModule?.updates && !always.some((key) => keys.has(key))) return;
  if (keys.has("data") || (keys.has("a") && param("a") === null)) pin();
  try {
    if (keys.has("data")) await readClasses();
  } catch (error) {
    refill(place("content"), errorBox(error, show));
    return;
  }
  await show();
}

async function show() {
  const mine = ++turn;
  const name = NAMES.includes(page()) ? page() : "overview";
  const module = await import(`./pages/${name}.js`).catch((error) => ({
    title: name,
    show: () => {
      throw error;
    },
  }));
  if (mine !== turn) return;
  const again = shownModule === module;
  leave?.();
  leave = null;
  shownModule = module;
  frame(module);
  await fill(module, mine, again);
}

function frame(module) {
  drawer(null);
  document.body.dataset.page = page();
  document.title = `${module.title} · ${catalog.project} · Sightline`;
  place("rail").hidden = !module.rail;
  place("inspector").hidden = !module.inspector;
  for (const side of ["rail", "inspector"]) {
    document.querySelector(`.drawer-button[data-side=${side}]`).hidden = !module[side];
  }
}

async function fill(module, mine, again) {
  const root = h("div", { class: "page", "aria-busy": "true" });
  const context = makeContext(module);
  const content = place("content");
  if (!again) content.scrollTop = 0;
  refill(content, skeleton(again ? content.scrollHeight : 0), root);
  try {
    const cleanup = await module.show(root, context);
    if (mine !== turn) return cleanup?.();
    leave = () => {
      cleanup?.();
      context.leave();
    };
  } catch (error) {
    if (mine !== turn || error.name === "AbortError") return;
    leave = context.leave;
    refill(root, errorBox(error, show));
  }
  root.removeAttribute("aria-busy");
  content.querySelector(".page-skeleton")?.remove();
  if (!again) announce(module.title);
}

function makeContext(module) {
  const real = (value) => (value && value !== "none" ? value : null);
  const context = { catalog, classes: [], data: param("data"), a: real(param("a")), b: real(param("b")) };
  const parts = [];
  if (module.inspector) parts.push((context.inspector = mountInspector(place("inspector"), context)).leave);
  if (module.rail && context.data) parts.push((context.rail = mountFilters(place("rail"), context)).leave);
  context.openDrawer = drawer;
  context.leave = () => parts.forEach((part) => part());
  return context;
}

function skeleton(height) {
  const lines = [40, 100, 100, 70].map((width) => h("div", { class: "skeleton", style: { width: `${width}%` } }));
  return h("div", { class: "page-skeleton", "aria-hidden": "true", style: { "min-height": `${height}px` } }, lines);
}

/** What went wrong, what to do, and a button that tries again. */
function errorBox(error, retry) {
  const known = error instanceof ApiError;
  if (!known) console.error(error);
  const text = known ? error.message : `The page failed: ${error.message}`;
  return h(
    "div",
    { class: "error-box", role: "alert" },
    h("p", null, text),
    error.command ? command(error.command) : null,
    h("button", { class: "button", type: "button", on: { click: retry } }, "Try again"),
  );
}

/** In a narrow window rail and inspector are drawers: open one, or close it where it is open. */
function drawer(side) {
  const open = narrow.matches && side && document.body.dataset.drawer !== side ? side : "";
  const was = document.body.dataset.drawer;
  document.body.dataset.drawer = open;
  for (const each of ["rail", "inspector"]) {
    place(each).inert = narrow.matches && each !== open;
    if (each === open) place(each).tabIndex = -1;
    else place(each).removeAttribute("tabindex");
    document.querySelector(`.drawer-button[data-side=${each}]`)?.setAttribute("aria-expanded", String(each === open));
  }
  if (open) place(open).focus();
  else if (was) document.querySelector(`.drawer-button[data-side=${was}]`)?.focus();
}

place("content").addEventListener("pointerdown", () => {
  if (document.body.dataset.drawer) drawer(null);
});

await boot();
