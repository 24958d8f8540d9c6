// Drawing on the slice by mouse, finger or keyboard. What was drawn is handed on as a hint.
import { $, isLost, page, quietly, ask, of, say } from "./correct-server.js";
import { draw, radius, show, tool } from "./correct-slices.js";

const ABOUT = {
  "point boundary": "Click where the boundary really is.",
  "point inside": "Click a place that belongs to the gland.",
  "point outside": "Click a place that does not belong to the gland.",
  "scribble inside": "Drag over tissue that belongs to the gland.",
  "scribble outside": "Drag over tissue that does not belong to the gland.",
  contour: "Drag once around the gland on this slice. It replaces the slice's earlier contour.",
};
const TOOL_KEYS = { b: "point boundary", i: "point inside", o: "point outside", s: "scribble inside", x: "scribble outside", c: "contour" };
const ARROWS = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };
const STEP = 0.4; // mm between the points of a dragged line

export function renewTool() {
  $("about").textContent = ABOUT[tool()];
  $("brush").hidden = !tool().startsWith("scribble");
  $("radius-mm").textContent = `${radius().toFixed(1)} mm`;
  drop();
}

export function choose(name) {
  document.querySelector(`[name=tool][value="${name}"]`).checked = true;
  renewTool();
}

export function drop() {
  page.line = null;
  if (page.open) draw();
}

// Take what is drawn; return it as a hint, or nothing if it is none.
function finished() {
  const points = page.line, [type, side] = tool().split(" ");
  drop();
  if (!points) return null;
  if (type === "contour" && points.length < 3) {
    say("A contour needs at least three points; drag around the gland.", true);
    return null;
  }
  const hint = { type, slice: page.slice, points };
  if (side) hint.side = side;
  if (type === "scribble") hint.radius_mm = radius();
  return hint;
}

function placed(event) {
  const at = new DOMPoint(event.clientX, event.clientY).matrixTransform($("svg").getScreenCTM().inverse());
  return within(at.x, at.y);
}

function within(x, y) {
  const { extent } = page.open;
  return [[x, extent[0]], [y, extent[1]]].map(([value, most]) => Math.min(most, Math.max(0, Number(value.toFixed(3)))));
}

function extend(event) {
  if (tool().startsWith("point")) page.line = [placed(event)];
  else {
    for (const part of event.getCoalescedEvents?.() ?? [event]) {
      const at = placed(part), last = page.line[page.line.length - 1];
      if (Math.hypot(at[0] - last[0], at[1] - last[1]) >= STEP) page.line.push(at);
    }
  }
  draw();
}

// Start to listen; `add` takes each hint.
export function listen(add) {
  const hand = () => { const hint = finished(); if (hint) add(hint); };
  const drawing = (event) => event.isPrimary && page.line && $("svg").hasPointerCapture(event.pointerId);
  $("svg").addEventListener("pointerdown", (event) => {
    if (!page.open || event.button || !event.isPrimary) return;
    if (isLost()) return void quietly(() => ask(of("version")));
    $("stage").classList.remove("keyed");
    $("svg").setPointerCapture(event.pointerId);
    page.line = [placed(event)];
    draw();
  });
  $("svg").addEventListener("pointermove", (event) => drawing(event) && extend(event));
  $("svg").addEventListener("pointerup", (event) => drawing(event) && hand());
  $("svg").addEventListener("pointercancel", drop);
  $("stage").addEventListener("keydown", (event) => {
    const move = ARROWS[event.key];
    if (!page.open || event.target !== $("stage") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (!move && event.key !== "Enter") return;
    event.preventDefault();
    if (move && !event.shiftKey) return show(page.slice + (move[1] > 0 || move[0] < 0 ? -1 : 1));
    $("stage").classList.add("keyed");
    if (move) page.cursor = within(page.cursor[0] + move[0], page.cursor[1] + move[1]);
    else page.line = [...(page.line ?? []), page.cursor];
    draw();
    if (!move && (tool().startsWith("point") || event.shiftKey)) hand();
  });
  for (const input of document.querySelectorAll("[name=tool], #radius")) input.addEventListener("input", renewTool);
  renewTool();
}

// Choose the tool of a key, or drop what is drawn; return whether the key means one of both.
export function toolKey(key) {
  if (key === "Escape") drop();
  else if (TOOL_KEYS[key]) choose(TOOL_KEYS[key]);
  else return false;
  return true;
}
