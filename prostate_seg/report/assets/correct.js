// The page of `prostate-seg review`: opens cases, sends hints, and keeps up with other windows.
import { $, ask, busy, inTurn, isLost, of, page, quietly, say } from "./correct-server.js";
import { begin, renewSlices, show } from "./correct-slices.js";
import { choose as chooseTool, drop, listen, toolKey } from "./correct-drawing.js";
import { clicked, listCases, listWarnings, renewPanel, sliceText } from "./correct-panel.js";

const LOOK_MS = 2000; // between two looks for changes of another window
const CHANGED = "Another window changed this case; it is displayed as it is now.";
const WHEEL_PX = 50; // for one slice
let cases = [], turned = 0;

function open(wanted) {
  drop();
  return inTurn(async () => {
    const answer = await ask(`cases/${wanted}/open`);
    [page.number, page.open] = [wanted, answer];
    for (const control of document.querySelectorAll(".panel button, .panel input, #slice")) control.disabled = false;
    begin();
    renewPanel(cases);
    listWarnings();
    return answer.hints.length ? `${answer.hints.length} earlier hints were taken up.` : "";
  }, "Opening and segmenting: this takes some seconds ...");
}

async function renew(answer, slice) {
  Object.assign(page.open, answer);
  await renewSlices(slice);
  renewPanel(cases);
  listWarnings();
}

// Ask for a change of the case as it is displayed. If another window changed it before, display that and stop.
async function asked(verb, content = {}) {
  try {
    return await ask(of(verb), { ...content, seen: page.open.version });
  } catch (error) {
    if (error.status === 409) await renew(await ask(of("open")));
    throw error;
  }
}

function change(verb, content, done) {
  page.ring = null;
  return inTurn(async () => {
    const { hints } = page.open;
    const answer = await asked(verb, content).catch((error) => {
      if (error.status !== 409 || verb !== "add") throw error;
      done = `${CHANGED} Your hint was added.`; // it is true whatever else was drawn
      return asked(verb, content);
    });
    cases[page.number].changed = true;
    const turned = { undo: hints, redo: answer.hints }[verb]?.at(-1); // the hint that went or came
    await renew(answer, turned?.slice);
    return done;
  }, "Computing ...");
}

async function look() {
  if (!page.open || busy()) return;
  await quietly(async () => {
    const { version, saved } = await ask(of("version"));
    if (version === null) return;
    if (version !== page.open.version) {
      await renew(await ask(of("open")));
      say(CHANGED);
    } else if (saved !== page.open.saved) {
      page.open.saved = saved;
      renewPanel(cases);
    }
  });
}

const plane = (end) => () => change("add", { type: "plane", end, slice: page.slice }, `The gland ends at ${sliceText(page.slice)} (${end}).`);
const actions = {
  apex: plane("apex"),
  base: plane("base"),
  undo: () => change("undo"),
  redo: () => change("redo"),
  suggest: () => inTurn(async () => {
    const found = await ask(of("suggest"));
    if (found.slice === null) return found.sentence;
    chooseTool("point boundary");
    [page.ring, page.cursor] = [found, found.at];
    show(found.slice);
    return `Slice ${page.open.numbers[found.slice]}: click the true boundary near the ring, even if the contour is correct.`;
  }, "Looking for the place ..."),
  save: () => inTurn(async () => {
    const { folder, files } = await asked("save");
    page.open.saved = true;
    renewPanel(cases);
    return `Saved to ${folder}: ${files.join(", ")}.`;
  }, "Saving ..."),
};

function keyed(event) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (!page.open || event.altKey) return;
  let action = { u: "undo", r: "redo", n: "suggest" }[key];
  if (event.ctrlKey || event.metaKey) {
    action = event.shiftKey ? { z: "redo" }[key] : { z: "undo", y: "redo", s: "save" }[key];
    if (action) event.preventDefault();
  } else if (toolKey(key)) return;
  if (action && !$(action).disabled) $(action).click();
}

for (const [id, action] of Object.entries(actions)) $(id).addEventListener("click", action);
for (const box of document.querySelectorAll("[data-shows]")) box.addEventListener("change", () => show(page.slice));
for (const control of document.querySelectorAll(".panel button, .panel input, #slice")) control.disabled = true;
$("slice").addEventListener("input", () => show(Number($("slice").value)));
$("stage").addEventListener("wheel", (event) => {
  if (!page.open || event.ctrlKey) return;
  event.preventDefault();
  turned += event.deltaMode ? WHEEL_PX * Math.sign(event.deltaY) : event.deltaY; // a touchpad sends many small parts
  if (page.line || Math.abs(turned) < WHEEL_PX) return;
  show(page.slice + (turned < 0 ? 1 : -1));
  turned = 0;
}, { passive: false });
$("cases").addEventListener("click", (event) => {
  const index = clicked($("cases"), event);
  if (index >= 0) open(index);
});
$("hints").addEventListener("click", (event) => {
  const index = clicked($("hints"), event);
  if (index >= 0) show(page.open.hints[index].slice);
});
document.addEventListener("keydown", keyed);
document.addEventListener("visibilitychange", look);
window.addEventListener("beforeunload", (event) => { // what is drawn, and masks of this window's hints, would be left
  if (!isLost() && (busy() || page.line || cases.some((one) => one.changed && one.hints && !one.saved))) event.preventDefault();
});
listen((hint) => change("add", hint));
try {
  cases = (await ask("cases")).cases;
  listCases(cases);
  await open(0);
} catch (error) {
  say(error.message, true);
}
for (;;) {
  await new Promise((later) => setTimeout(later, LOOK_MS));
  await look();
}
