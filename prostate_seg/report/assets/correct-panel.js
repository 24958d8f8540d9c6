// The panels beside the slice: numbers, list of hints, warnings, list of cases.
import { $, ask, of, page } from "./correct-server.js";

let settled = 0;

export const sliceText = (index) => `slice ${page.open.numbers[index]}`;
const ml = (value) => (value === null ? "one slice" : `${value.toFixed(1)} mL`);

function button(text) {
  return Object.assign(document.createElement("button"), { type: "button", textContent: text });
}

function item(...content) {
  const row = document.createElement("li");
  row.append(...content);
  return row;
}

function refill(list, rows) { // the focus stays on its row
  const focused = [...list.querySelectorAll("button")].indexOf(document.activeElement);
  list.replaceChildren(...rows);
  if (focused >= 0) (rows[Math.min(focused, rows.length - 1)]?.querySelector("button") ?? $("stage")).focus();
}

// Return the index of the button that was clicked in a list, or -1.
export const clicked = (list, event) => [...list.querySelectorAll("button")].indexOf(event.target);

export function renewPanel(cases) {
  const { open } = page, { hints } = open;
  const apart = open.volume_ml - open.volume_before_ml;
  const signed = `${apart < 0 ? "−" : "+"}${Math.abs(apart).toFixed(1)}`;
  $("name").textContent = open.name;
  $("volume-before").textContent = ml(open.volume_before_ml);
  $("volume").textContent = ml(open.volume_ml) + (open.volume_ml !== null && hints.length ? ` (${signed})` : "");
  $("moved").textContent = hints.length ? `${open.moved_mm[0].toFixed(1)} mm (max. ${open.moved_mm[1].toFixed(1)})` : "-";
  $("undo").disabled = !hints.length;
  $("redo").disabled = !open.undone;
  $("saved").textContent = open.saved ? "Saved." : hints.length ? "Hints are kept; the mask is not saved yet." : "The mask is not saved yet.";
  refill($("hints"), hints.map((hint) => item(button(`${named(hint)}, ${sliceText(hint.slice)}`))));
  Object.assign(cases[page.number], { hints: hints.length > 0, saved: open.saved });
  listCases(cases);
}

function named(hint) {
  if (hint.type === "plane") return hint.end === "apex" ? "Apex" : "Base";
  if (hint.type === "contour") return hint.lines.length ? "Contour" : "No gland";
  return `${hint.type === "point" ? "Point" : "Brush"} ${hint.side === "boundary" ? "on the boundary" : hint.side}`;
}

export function listCases(cases) {
  $("list").hidden = cases.length < 2;
  refill($("cases"), cases.map((one, index) => {
    const state = document.createElement("small"), name = button(one.name), row = item(name, state);
    state.textContent = one.saved ? "saved" : one.hints ? "hints, not saved" : "";
    row.classList.toggle("here", index === page.number);
    if (index === page.number) name.setAttribute("aria-current", "true");
    return row;
  }));
}

export function listWarnings() { // not between two quick hints: the next answer would wait for it
  clearTimeout(settled);
  settled = setTimeout(askWarnings, 800);
}

async function askWarnings() {
  const { number, open: { version } } = page;
  const { warnings } = await ask(of("warnings")).catch((error) => ({ warnings: [error.message] }));
  if (number !== page.number || version !== page.open.version) return;
  $("warnings").replaceChildren(...warnings.map((text) => item(text)));
  $("warnings").hidden = !warnings.length;
  $("no-warnings").hidden = warnings.length > 0;
}
