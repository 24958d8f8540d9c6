"use strict";
for (const [id, figure] of Object.entries(report?.plots ?? {})) {
  Plotly.newPlot(id, figure.data, figure.layout, { responsive: true, displayModeBar: false });
}
for (const table of document.querySelectorAll("table.sortable")) {
  const rows = () => [...table.tBodies[0].rows];
  const value = (row, column) => {
    const cell = row.cells[column];
    const number = Number(cell.dataset.value === "inf" ? Infinity : cell.dataset.value ?? NaN);
    return Number.isNaN(number) ? cell.textContent : number;
  };
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => heading.querySelector("button").addEventListener("click", () => {
    const sign = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of headings) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    const absent = (x) => x === "-" || x === "";
    table.tBodies[0].append(...rows().sort((first, second) => {
      const [a, b] = [value(first, column), value(second, column)];
      if (absent(a) || absent(b)) return absent(a) - absent(b);
      const numbers = typeof a === "number" && typeof b === "number";
      return sign * (numbers ? (a > b) - (a < b) : String(a).localeCompare(String(b), "en", { numeric: true }));
    }));
  }));
  const finder = document.querySelector(`input[data-table="${table.id}"]`);
  const count = document.querySelector(`[data-count="${table.id}"]`);
  finder?.addEventListener("input", () => {
    const wanted = finder.value.trim().toLowerCase();
    for (const row of rows()) row.hidden = !row.textContent.toLowerCase().includes(wanted);
    count.textContent = `${rows().filter((row) => !row.hidden).length} rows`;
  });
}
