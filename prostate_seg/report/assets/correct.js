// The page of `prostate-seg review`: slices with the contour, and hints drawn on them. All numbers are mm on the slice.
const $ = (id) => document.getElementById(id);
const ABOUT = {
  "point boundary": "Click where the boundary really is.",
  "point inside": "Click a place that belongs to the gland.",
  "point outside": "Click a place that does not belong to the gland.",
  "scribble inside": "Drag over tissue that belongs to the gland.",
  "scribble outside": "Drag over tissue that does not belong to the gland.",
  contour: "Drag once around the gland on this slice. It replaces the slice's earlier contour.",
};
const TOOL_KEYS = { b: "point boundary", i: "point inside", o: "point outside", s: "scribble inside", x: "scribble outside", c: "contour" };
const STEP = 0.4; // mm between the points of a dragged line
let cases = [], number = -1, open = null, slice = 0;
let pictures = [], doubts = [], line = null, cursor = [0, 0], settled = 0;
let queue = Promise.resolve(), waiting = 0;

async function ask(path, content = {}) {
  let response;
  try {
    const body = JSON.stringify(content);
    response = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body });
  } catch {
    throw new Error("The server does not answer. Start prostate-seg review again with the same folder and open the new address: hints are kept.");
  }
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

function say(text, error = false) {
  $("status").textContent = text;
  $("status").classList.toggle("error", error);
}

// One change at a time, in the order of the clicks.
function inTurn(work, busy) {
  waiting += 1;
  document.body.setAttribute("aria-busy", "true");
  queue = queue.then(async () => {
    const slow = setTimeout(() => say(busy), 300);
    try {
      const text = await work();
      clearTimeout(slow);
      say(text ?? "");
    } catch (error) {
      clearTimeout(slow);
      say(error.message, true);
    }
    waiting -= 1;
    if (!waiting) document.body.removeAttribute("aria-busy");
  });
  return queue;
}

const of = (verb) => `cases/${number}/${verb}`;
const sliceText = (index) => `slice ${open.numbers[index]}`;

function choose(wanted) {
  drop();
  return inTurn(async () => {
    const answer = await ask(`cases/${wanted}/open`);
    [number, open, pictures, doubts] = [wanted, answer, [], []];
    const [width, height] = open.extent;
    $("svg").setAttribute("viewBox", `0 0 ${width} ${height}`);
    $("stage").style.setProperty("--ratio", width / height);
    for (const id of ["gray", "doubt"]) { $(id).setAttribute("width", width); $(id).setAttribute("height", height); }
    cursor = [width / 2, height / 2];
    [$("left").textContent, $("top").textContent] = open.letters;
    $("name").textContent = open.name;
    $("slice").max = open.numbers.length - 1;
    $("volume-before").textContent = ml(open.volume_before_ml);
    $("ring").toggleAttribute("hidden", true);
    ready(true);
    show(open.first);
    renew();
    listWarnings();
    return open.hints.length ? `${open.hints.length} earlier hints were taken up.` : "";
  }, "Opening and segmenting: this takes some seconds ...");
}

const ml = (value) => (value === null ? "one slice" : `${value.toFixed(1)} mL`);

function renew() { // what hints change
  const now = open.volume_ml, before = open.volume_before_ml, apart = now - before;
  $("volume").textContent = ml(now) + (now !== null && open.hints.length ? ` (${apart < 0 ? "−" : "+"}${Math.abs(apart).toFixed(1)})` : "");
  $("moved").textContent = open.hints.length ? `${open.moved_mm[0].toFixed(1)} mm (max. ${open.moved_mm[1].toFixed(1)})` : "-";
  $("undo").disabled = !open.hints.length;
  $("saved").textContent = open.saved ? "Saved." : open.hints.length ? "Hints are kept; the mask is not saved yet." : "The mask is not saved yet.";
  const rows = open.hints.map((hint) => {
    const row = document.createElement("li"), button = document.createElement("button");
    button.type = "button";
    button.textContent = `${named(hint)}, ${sliceText(hint.slice)}`;
    button.addEventListener("click", () => show(hint.slice));
    row.append(button);
    return row;
  });
  $("hints").replaceChildren(...rows);
  if (cases[number]) Object.assign(cases[number], { hints: open.hints.length > 0, saved: open.saved });
  listCases();
  draw();
}

function named(hint) {
  if (hint.type === "plane") return hint.end === "apex" ? "Apex" : "Base";
  if (hint.type === "contour") return hint.lines.length ? "Contour" : "No gland";
  return `${hint.type === "point" ? "Point" : "Brush"} ${hint.side === "boundary" ? "on the boundary" : hint.side}`;
}

function listCases() {
  $("list").hidden = cases.length < 2;
  const rows = cases.map((one, index) => {
    const row = document.createElement("li"), button = document.createElement("button"), state = document.createElement("small");
    button.type = "button";
    button.textContent = one.name;
    button.addEventListener("click", () => choose(index));
    state.textContent = one.saved ? "saved" : one.hints ? "hints, not saved" : "";
    row.classList.toggle("here", index === number);
    if (index === number) button.setAttribute("aria-current", "true");
    row.append(button, state);
    return row;
  });
  const focused = [...$("cases").querySelectorAll("button")].indexOf(document.activeElement);
  $("cases").replaceChildren(...rows);
  if (focused >= 0) rows[focused].firstChild.focus();
}

function listWarnings() { // not between two quick hints: the next answer would wait for it
  clearTimeout(settled);
  settled = setTimeout(askWarnings, 800);
}

async function askWarnings() {
  const [asked, version] = [number, open.version];
  const { warnings } = await ask(of("warnings")).catch((error) => ({ warnings: [error.message] }));
  if (asked !== number || version !== open.version) return;
  $("warnings").replaceChildren(...warnings.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  $("warnings").hidden = !warnings.length;
  $("no-warnings").hidden = warnings.length > 0;
}

function show(index) {
  slice = Math.max(0, Math.min(open.numbers.length - 1, index));
  $("slice").value = slice;
  $("where").textContent = `${open.numbers[slice]} of ${open.numbers.length}`;
  $("slice").setAttribute("aria-valuetext", `Slice ${open.numbers[slice]} of ${open.numbers.length}`);
  if (line) drop();
  draw();
  for (const near of [slice, slice + 1, slice - 1]) load("picture", pictures, near);
  if (shown("doubt")) load("doubt", doubts, slice);
}

// Fetch a picture once; one that arrives late is shown only if its slice is still the displayed one.
async function load(kind, kept, index) {
  if (index < 0 || index >= open.numbers.length || kept[index] !== undefined) return;
  kept[index] = "";
  try {
    kept[index] = (await ask(of(kind), { slice: index })).picture ?? "";
  } catch (error) {
    delete kept[index];
    say(error.message, true);
  }
  if (index === slice) draw();
}

const shown = (what) => document.querySelector(`[data-shows=${what}]`).checked;

function element(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

const path = (points, closed = false) => `M${points.map((point) => point.join(",")).join(" ")}${closed ? "Z" : ""}`;

function picture(image, address) {
  if (address) image.setAttribute("href", address);
  image.toggleAttribute("hidden", !address);
}

function draw() {
  picture($("gray"), pictures[slice]);
  picture($("doubt"), shown("doubt") ? doubts[slice] : "");
  $("now").setAttribute("d", shown("now") ? open.outlines[slice] : "");
  $("before").setAttribute("d", shown("before") && open.hints.length ? open.before[slice] : "");
  const marks = shown("marks") ? open.hints.filter((hint) => hint.slice === slice && hint.type !== "plane") : [];
  $("marks").replaceChildren(...marks.flatMap((hint) => hint.lines.map((points) => {
    const look = hint.side ?? "contour";
    if (hint.type === "point") return element("circle", { cx: points[0][0], cy: points[0][1], r: 0.9, class: look });
    const width = hint.type === "scribble" ? { "stroke-width": Math.max(2 * hint.radius_mm, 0.4) } : {};
    return element("path", { d: path(points.length > 1 ? points : [points[0], points[0]], hint.type === "contour"), class: look, ...width });
  })));
  const brush = tool().startsWith("scribble");
  $("drawn").setAttribute("d", line ? path(line.length > 1 ? line : [line[0], line[0]]) : "");
  $("drawn").classList.toggle("brush", brush);
  $("drawn").setAttribute("stroke-width", brush ? Math.max(2 * radius(), 0.4) : 2);
  $("drawn").style.strokeWidth = brush ? `${Math.max(2 * radius(), 0.4)}px` : "";
  $("cursor").setAttribute("transform", `translate(${cursor.join(" ")})`);
}

const tool = () => document.querySelector("[name=tool]:checked").value;
const radius = () => Number($("radius").value);

function renewTool() {
  $("about").textContent = ABOUT[tool()];
  $("brush").hidden = !tool().startsWith("scribble");
  $("radius-mm").textContent = `${radius().toFixed(1)} mm`;
  drop();
}

function change(verb, content, done) {
  $("ring").toggleAttribute("hidden", true);
  return inTurn(async () => {
    const answer = await ask(of(verb), content);
    if (answer.version !== open.version + 1) { // another window changed the case too
      Object.assign(open, await ask(of("open")));
    } else {
      Object.assign(open, { ...answer, outlines: { ...open.outlines, ...answer.outlines } });
    }
    doubts = [];
    if (shown("doubt")) load("doubt", doubts, slice);
    renew();
    listWarnings();
    return done;
  }, "Computing ...");
}

function finish() {
  const points = line, [type, side] = tool().split(" ");
  drop();
  if (!points) return;
  if (type === "contour" && points.length < 3) return say("A contour needs at least three points; drag around the gland.", true);
  const parts = { type, slice, points };
  if (side) parts.side = side;
  if (type === "scribble") parts.radius_mm = radius();
  change("add", parts);
}

function drop() {
  line = null;
  if (open) draw();
}

function placed(event) {
  const matrix = $("svg").getScreenCTM().inverse();
  const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix);
  return within(at.x, at.y);
}

function within(x, y) {
  return [[x, open.extent[0]], [y, open.extent[1]]].map(([value, most]) => Math.min(most, Math.max(0, Number(value.toFixed(3)))));
}

$("svg").addEventListener("pointerdown", (event) => {
  if (!open || event.button) return;
  $("stage").classList.remove("keyed");
  $("svg").setPointerCapture(event.pointerId);
  line = [placed(event)];
  draw();
});
$("svg").addEventListener("pointermove", (event) => {
  if (!line || !$("svg").hasPointerCapture(event.pointerId)) return;
  if (tool().startsWith("point")) line = [placed(event)];
  else {
    for (const part of event.getCoalescedEvents?.() ?? [event]) {
      const at = placed(part), last = line[line.length - 1];
      if (Math.hypot(at[0] - last[0], at[1] - last[1]) >= STEP) line.push(at);
    }
  }
  draw();
});
$("svg").addEventListener("pointerup", () => line && finish());
$("svg").addEventListener("pointercancel", drop);
$("stage").addEventListener("wheel", (event) => {
  if (!open || event.ctrlKey) return;
  event.preventDefault();
  if (!line && event.deltaY) show(slice + (event.deltaY < 0 ? 1 : -1));
}, { passive: false });

const plane = (end) => () => change("add", { type: "plane", end, slice }, `The gland ends at ${sliceText(slice)} (${end}).`);
const actions = {
  apex: plane("apex"),
  base: plane("base"),
  undo: () => change("undo", {}),
  suggest: () => inTurn(async () => {
    const found = await ask(of("suggest"));
    if (found.slice === null) return found.sentence;
    $("ring").setAttribute("transform", `translate(${found.at.join(" ")})`);
    $("ring").toggleAttribute("hidden", false);
    document.querySelector('[name=tool][value="point boundary"]').checked = true;
    renewTool();
    cursor = found.at;
    show(found.slice);
    return `Slice ${open.numbers[found.slice]}: click the true boundary near the ring.`;
  }, "Looking for the place ..."),
  save: () => inTurn(async () => {
    const { folder, files } = await ask(of("save"));
    open.saved = true;
    renew();
    return `Saved to ${folder}: ${files.join(", ")}.`;
  }, "Saving ..."),
};
for (const [id, action] of Object.entries(actions)) $(id).addEventListener("click", action);
$("slice").addEventListener("input", () => show(Number($("slice").value)));
for (const box of document.querySelectorAll("[data-shows]")) box.addEventListener("change", () => open && show(slice));
for (const input of document.querySelectorAll("[name=tool], #radius")) input.addEventListener("input", renewTool);

document.addEventListener("keydown", (event) => {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (!open || event.altKey) return;
  if (event.ctrlKey || event.metaKey) {
    const action = { z: "undo", s: "save" }[key];
    if (!action || event.shiftKey) return;
    event.preventDefault();
    if (!$(action).disabled) $(action).click();
    return;
  }
  const onStage = event.target === $("stage");
  const moves = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }[key];
  if (moves && onStage) {
    event.preventDefault();
    if (!event.shiftKey) return show(slice + (moves[1] > 0 || moves[0] < 0 ? -1 : 1));
    $("stage").classList.add("keyed");
    cursor = within(cursor[0] + moves[0], cursor[1] + moves[1]);
    draw();
  } else if (key === "Enter" && onStage) {
    event.preventDefault();
    $("stage").classList.add("keyed");
    line = [...(line ?? []), cursor];
    if (tool().startsWith("point") || event.shiftKey) finish();
    else draw();
  } else if (key === "Escape") drop();
  else if (TOOL_KEYS[key]) {
    document.querySelector(`[name=tool][value="${TOOL_KEYS[key]}"]`).checked = true;
    renewTool();
  } else if (key === "u" && !$("undo").disabled) $("undo").click();
  else if (key === "n") $("suggest").click();
});

function ready(on) {
  for (const control of document.querySelectorAll(".panel button, .panel input, #slice")) control.disabled = !on;
}

ready(false);
renewTool();
cases = (await ask("cases")).cases;
listCases();
await choose(0);
