"use strict";
{
  const byId = (id) => document.getElementById(id);
  const [stage, slice, doubt, slider, where] = ["stage", "slice", "uncertainty", "slider", "where"].map(byId);
  const last = report.slices.length - 1;
  const shows = (target) => document.querySelector(`[data-target=${target}]`)?.checked ?? false;

  const show = (wanted) => {
    const index = Math.min(last, Math.max(0, wanted));
    slider.value = index;
    slice.src = report.slices[index];
    for (const line of document.querySelectorAll(".layer")) {
      line.setAttribute("d", report.paths[index][line.dataset.name] ?? "");
      line.style.display = shows(line.classList[1]) || line.classList[1] > "layer1" ? "" : "none";
    }
    const map = report.uncertainty?.[index];
    doubt.hidden = !(map && shows("uncertainty"));
    if (map) doubt.src = map;
    const drawn = Object.keys(report.paths[index]).join(", ") || "no contour";
    where.textContent = `Slice ${report.numbers[index]} of ${last + 1} in the file: ${drawn}`;
    slider.setAttribute("aria-valuetext", where.textContent);
  };
  const step = (by) => show(Number(slider.value) + by);

  slider.addEventListener("input", () => show(Number(slider.value)));
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.deltaY) step(Math.sign(event.deltaY));
  }, { passive: false });
  const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 5, PageDown: -5,
    Home: -Infinity, End: Infinity };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || byId("surface")?.contains(event.target)) return;
    const box = document.querySelector(`[data-key="${event.key.toUpperCase()}"]`);
    if (event.key in steps) step(steps[event.key]);
    else if (box) box.click();
    else return;
    event.preventDefault();
  });
  for (const box of document.querySelectorAll(".toggles input")) box.addEventListener("change", () => step(0));

  show(report.first);
  if (report.surface) {
    Plotly.newPlot("surface", report.surface.data, report.surface.layout, { responsive: true, displaylogo: false, displayModeBar: false });
  }
}
