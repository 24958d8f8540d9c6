// Requests to the server, one change at a time, and the sentence below the picture.
export const $ = (id) => document.getElementById(id);
export const page = { number: -1, open: null, slice: 0, line: null, ring: null, cursor: [0, 0] }; // what is displayed
const LOST = "The server does not answer. The hints in the list are kept: start prostate-seg review again with the same folder, and open the new address.";
let queue = Promise.resolve(), waiting = 0, lost = false;

export const of = (verb) => `cases/${page.number}/${verb}`;
export const busy = () => waiting > 0;
export const isLost = () => lost;

export async function ask(path, content = {}) {
  let response;
  try {
    const body = JSON.stringify(content);
    response = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body });
  } catch {
    lost = true;
    throw new Error(LOST);
  }
  if (lost) say("The server answers again.");
  lost = false;
  const answer = await response.json();
  if (!response.ok) throw Object.assign(new Error(answer.error), { status: response.status });
  return answer;
}

export function say(text, error = false) {
  if ($("status").textContent !== text) $("status").textContent = text; // a sentence is read out once
  $("status").classList.toggle("error", error);
}

// One change at a time, in the order of the clicks. The work returns what to say.
export function inTurn(work, meanwhile) {
  waiting += 1;
  document.body.setAttribute("aria-busy", "true");
  queue = queue.then(async () => {
    const slow = setTimeout(() => say(meanwhile), 300);
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

// In turn too, but nothing is said unless it fails.
export function quietly(work) {
  queue = queue.then(work).catch((error) => say(error.message, true));
  return queue;
}
