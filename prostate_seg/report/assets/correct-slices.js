// The displayed slice: its picture, outlines, uncertainty and hints. All numbers are mm on the slice.
import { $, ask, of, page, say } from "./correct-server.js";

let kept = {}; // what each slice showed so far, by kind

export const shown = (what) => document.querySelector(`[data-shows=${what}]`).checked;
export const tool = () => document.querySelector("[name=tool]:checked").value;
export const radius = () => Number($("radius").value);

export function begin() { // another case is displayed
  const { extent: [width, height], letters, numbers, first } = page.open;
  kept = { picture: [], outline: [], doubt: [] };
  $("svg").setAttribute("viewBox", `0 0 ${width} ${height}`);
  $("stage").style.setProperty("--ratio", width / height);
  for (const id of ["gray", "doubt"]) { $(id).setAttribute("width", width); $(id).setAttribute("height", height); }
  [$("left").textContent, $("top").textContent] = letters;
  $("slice").max = numbers.length - 1;
  page.cursor = [width / 2, height / 2];
  page.ring = null;
  show(first);
}

// The mask has changed: its outline on the displayed slice is fetched first, the others when they are displayed.
export async function renewSlices(wanted) {
  const index = wanted ?? page.slice;
  const outline = [];
  outline[index] = await ask(of("outline"), { slice: index });
  kept = { picture: kept.picture, outline, doubt: [] };
  show(wanted ?? page.slice);
}

export function show(index) {
  const { numbers } = page.open;
  const before = page.slice;
  page.slice = Math.max(0, Math.min(numbers.length - 1, index));
  if (page.slice !== before) page.line = null;
  $("slice").value = page.slice;
  $("where").textContent = `${numbers[page.slice]} of ${numbers.length}`;
  $("slice").setAttribute("aria-valuetext", `Slice ${numbers[page.slice]} of ${numbers.length}`);
  draw();
  for (const near of [page.slice, page.slice + 1, page.slice - 1]) {
    load("picture", near);
    load("outline", near);
  }
  if (shown("doubt")) load("doubt", page.slice);
}

// Fetch what a slice shows once; what arrives late is drawn only if its slice is still the displayed one.
async function load(kind, index) {
  const store = kept[kind];
  if (index < 0 || index >= page.open.numbers.length || store[index] !== undefined) return;
  store[index] = {};
  try {
    store[index] = await ask(of(kind), { slice: index });
  } catch (error) {
    delete store[index];
    say(error.message, true);
  }
  if (index === page.slice) draw();
}

function element(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

const path = (points, closed = false) => `M${points.map((point) => point.join(",")).join(" ")}${closed ? "Z" : ""}`;
const line = (points) => path(points.length > 1 ? points : [points[0], points[0]]); // of one point a dot
const brush = (mm) => Math.max(2 * mm, 0.4);

function picture(image, address) {
  if (address) image.setAttribute("href", address);
  image.toggleAttribute("hidden", !address);
}

function marks(hint) {
  const look = hint.side ?? "contour";
  return hint.lines.map((points) => {
    if (hint.type === "point") return element("circle", { cx: points[0][0], cy: points[0][1], r: 0.9, class: look });
    if (hint.type === "contour") return element("path", { d: path(points, true), class: look });
    return element("path", { d: line(points), class: look, "stroke-width": brush(hint.radius_mm) });
  });
}

export function draw() {
  const { slice, ring, open: { hints } } = page;
  const { now = "", before = "" } = kept.outline[slice] ?? {};
  picture($("gray"), kept.picture[slice]?.picture);
  picture($("doubt"), shown("doubt") && kept.doubt[slice]?.picture);
  $("now").setAttribute("d", shown("now") ? now : "");
  $("before").setAttribute("d", shown("before") && hints.length ? before : "");
  const here = shown("marks") ? hints.filter((hint) => hint.slice === slice && hint.type !== "plane") : [];
  $("marks").replaceChildren(...here.flatMap(marks));
  const wide = tool().startsWith("scribble");
  $("drawn").setAttribute("d", page.line ? line(page.line) : "");
  $("drawn").classList.toggle("brush", wide);
  $("drawn").style.strokeWidth = wide ? `${brush(radius())}px` : "";
  $("ring").toggleAttribute("hidden", ring?.slice !== slice);
  if (ring) $("ring").setAttribute("transform", `translate(${ring.at.join(" ")})`);
  $("cursor").setAttribute("transform", `translate(${page.cursor.join(" ")})`);
}
