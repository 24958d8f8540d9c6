"use strict";
{
  const items = [...document.querySelectorAll("#worklist > li")];
  const byId = (id) => document.getElementById(id);
  const chosen = (item) => item.querySelector("input:checked").value;
  const key = (item) => `prostate-seg review ${item.dataset.case} ${item.dataset.digest}`;

  // The browser keeps the states, if it may; a state belongs to a case and its contour.
  let store = null;
  try {
    store = window.localStorage;
    store.setItem("prostate-seg review", "");
  } catch {
    store = null;
    byId("storage").textContent = "This browser keeps no states: save them before you close the page.";
  }
  for (const item of items) {
    const before = store?.getItem(key(item));
    const radio = before && item.querySelector(`input[value=${CSS.escape(before)}]`);
    if (radio) radio.checked = true;
  }

  const count = () => {
    const done = items.filter((item) => chosen(item) !== "open").length;
    byId("progress").textContent = `${done} of ${items.length} cases done`;
    for (const item of items) {
      item.dataset.state = chosen(item);
      item.hidden = byId("only-open").checked && chosen(item) !== "open";
    }
  };
  for (const item of items) {
    item.addEventListener("change", () => {
      try {
        store?.setItem(key(item), chosen(item));
      } catch {
        byId("storage").textContent = "This browser is full: save the states before you close the page.";
      }
      count();
    });
    item.querySelector("a")?.addEventListener("click", () => {
      const seen = item.querySelector("input[value=seen]");
      if (chosen(item) === "open") { seen.checked = true; seen.dispatchEvent(new Event("change", { bubbles: true })); }
    });
  }
  byId("only-open").addEventListener("change", count);
  byId("export").addEventListener("click", () => {
    const cell = (text) => `"${(/^[=+\-@\t\r]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
    const lines = items.map((item) => [cell(item.dataset.case), chosen(item)].join(","));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([`case,state\n${lines.join("\n")}\n`], { type: "text/csv" }));
    link.download = report.name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
  count();
}
