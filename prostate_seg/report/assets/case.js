"use strict";
{
  const byId = (id) => document.getElementById(id);
  const { extent: [width, height], gap } = report.geometry; // mm
  const last = report.slices.length - 1;
  const { layers } = report;
  const [x, y] = report.geometry.centre;
  const at = { x, y, slice: report.first }; // mm, mm, index
  const NAMESPACE = "http://www.w3.org/2000/svg";
  const pathOf = (slice, name) => (Object.hasOwn(report.paths[slice], name) ? report.paths[slice][name] : "");
  const shows = (target) => document.querySelector(`[data-target="${target}"]`)?.checked ?? true;

  // A plane: a picture in mm with outlines and a cross-hair.
  const plane = (id, [across, down]) => {
    const figure = byId(id);
    if (!figure) return null;
    const svg = figure.querySelector("svg");
    const add = (name, attributes) => {
      const element = document.createElementNS(NAMESPACE, name);
      for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
      svg.append(element);
      return element;
    };
    const whole = { width: across, height: down, preserveAspectRatio: "none" };
    const view = [0, 0, across, down];
    const own = {
      figure, svg, across, down, view,
      gray: add("image", { ...whole, class: "gray" }),
      doubt: add("image", { ...whole, class: "uncertainty" }),
      lines: [...layers].reverse().map((layer) => [layer, add("path", {
        class: `layer ${layer.target}${layer.dashed ? " dashed" : ""}`, stroke: layer.colour,
      })]),
      cross: add("path", { class: "cross" }),
      marks: add("g", { class: "marks" }),
      look: () => {
        svg.setAttribute("viewBox", view.join(" "));
        const bar = [10, 5, 2, 1, 0.5].find((length) => length <= view[2] / 3) ?? 0.1; // mm
        const scale = figure.querySelector(".scale");
        scale.style.width = `${(100 * bar / view[2]).toFixed(3)}%`;
        scale.textContent = `${bar} mm`;
      },
      place: (event) => {
        const box = svg.getBoundingClientRect();
        return [view[0] + (event.clientX - box.left) / box.width * view[2],
          view[1] + (event.clientY - box.top) / box.height * view[3]];
      },
    };
    own.look();
    return own;
  };
  const transverse = plane("stage", [width, height]);
  const sagittal = plane("sagittal", [height, (last + 1) * gap]);
  const coronal = plane("coronal", [width, (last + 1) * gap]);
  const planes = [transverse, sagittal, coronal].filter(Boolean);

  // Needles and seeds on the transverse plane: a ring where each crosses the slice, with the number of a needle.
  const ring = ({ x, y, target, text }) => {
    const { colour } = report.things.find((layer) => layer.target === target);
    const parts = [["circle", { cx: x, cy: y, r: text ? 1.3 : 0.9, stroke: colour }]];
    if (text) parts.push(["text", { x: x + 1.6, y: y - 0.8, fill: colour }]);
    return parts.map(([name, attributes]) => {
      const element = document.createElementNS(NAMESPACE, name);
      for (const [key, value] of Object.entries({ ...attributes, class: target })) element.setAttribute(key, value);
      if (name === "text") element.textContent = text;
      return element;
    });
  };

  // The volume for the other planes: gray values and, a bit for each, masks, filled from the transverse pictures. Its
  // voxels are those of the image; larger ones if it would exceed 640 along a side, or 60 million.
  const most = Math.min(640, Math.sqrt(6e7 / (last + 1)));
  const coarse = Math.min(1, most / Math.max(...report.geometry.pixels));
  const [columns, rows] = report.geometry.pixels.map((count) => Math.max(1, Math.round(count * coarse)));
  const masked = layers.filter(({ name }) => name !== report.open).slice(0, 32);
  let volume = null;
  const load = async () => {
    const canvas = Object.assign(document.createElement("canvas"), { width: columns, height: rows });
    const brush = canvas.getContext("2d", { willReadFrequently: true });
    const gray = new Uint8Array(columns * rows * (last + 1));
    const masks = new (masked.length > 8 ? Uint32Array : Uint8Array)(gray.length);
    for (let slice = 0; slice <= last; slice += 1) {
      const picture = new Image();
      picture.src = report.slices[slice];
      await picture.decode();
      brush.setTransform(1, 0, 0, 1, 0, 0);
      brush.drawImage(picture, 0, 0, columns, rows);
      const shift = slice * columns * rows;
      brush.getImageData(0, 0, columns, rows).data.forEach((value, n) => { if (n % 4 === 0) gray[shift + n / 4] = value; });
      masked.forEach(({ name }, bit) => {
        const path = pathOf(slice, name);
        if (!path) return;
        brush.setTransform(1, 0, 0, 1, 0, 0);
        brush.clearRect(0, 0, columns, rows);
        brush.setTransform(columns / width, 0, 0, rows / height, 0, 0);
        brush.fill(new Path2D(path), "evenodd");
        brush.getImageData(0, 0, columns, rows).data.forEach((value, n) => {
          if (n % 4 === 3 && value > 127) masks[shift + (n - 3) / 4] |= 1 << bit;
        });
      });
    }
    volume = { gray, masks };
    tell("");
    draw();
  };
  const tell = (text) => {
    for (const shown of [sagittal, coronal]) shown.figure.querySelector(".state").textContent = text;
  };

  // One cut through the volume: index(along, slice) is a voxel; superior is at the top.
  const cut = (shown, count, index) => {
    if (!shown || !volume) return;
    const canvas = Object.assign(document.createElement("canvas"), { width: count, height: last + 1 });
    const brush = canvas.getContext("2d");
    const picture = brush.createImageData(count, last + 1);
    const value = (along, row) => (along < 0 || along >= count || row < 0 || row > last ? 0
      : volume.masks[index(along, last - row)]);
    const step = shown.across / count;
    // Runs of edges along rows and columns: dashes need lines that are longer than a voxel.
    const outlines = masked.map(() => "");
    const edges = (outer, inner, differs, draw) => {
      for (let line = 0; line <= outer; line += 1) {
        masked.forEach((_, bit) => {
          for (let begin = 0; begin < inner; begin += 1) {
            if (!(differs(line, begin) >>> bit & 1)) continue;
            let end = begin;
            while (end < inner && differs(line, end) >>> bit & 1) end += 1;
            outlines[bit] += draw(line, begin, end);
            begin = end;
          }
        });
      }
    };
    for (let row = 0; row <= last; row += 1) {
      for (let along = 0; along < count; along += 1) {
        const n = 4 * (row * count + along);
        picture.data.fill(volume.gray[index(along, last - row)], n, n + 3);
        picture.data[n + 3] = 255;
      }
    }
    const mm = (length) => length.toFixed(3);
    edges(count, last + 1, (along, row) => value(along, row) ^ value(along - 1, row),
      (along, begin, end) => `M${mm(along * step)},${mm(begin * gap)}V${mm(end * gap)}`);
    edges(last + 1, count, (row, along) => value(along, row) ^ value(along, row - 1),
      (row, begin, end) => `M${mm(begin * step)},${mm(row * gap)}H${mm(end * step)}`);
    brush.putImageData(picture, 0, 0);
    shown.gray.setAttribute("href", canvas.toDataURL());
    for (const [layer, line] of shown.lines) line.setAttribute("d", outlines[masked.indexOf(layer)] ?? "");
  };

  let drawnAt = [];
  const draw = () => {
    const { x, y, slice } = at;
    transverse.gray.setAttribute("href", report.slices[slice]);
    for (const [layer, line] of transverse.lines) line.setAttribute("d", pathOf(slice, layer.name));
    const marks = report.marks[slice].filter(({ target }) => shows(target));
    transverse.marks.replaceChildren(...marks.flatMap(ring));
    const map = report.uncertainty?.[slice];
    transverse.doubt.setAttribute("href", map ?? "");
    const [column, row] = [Math.min(columns - 1, Math.floor(x / width * columns)), Math.min(rows - 1, Math.floor(y / height * rows))];
    if (volume && drawnAt[0] !== column) cut(sagittal, rows, (along, k) => (k * rows + along) * columns + column);
    if (volume && drawnAt[1] !== row) cut(coronal, columns, (along, k) => (k * rows + row) * columns + along);
    if (volume) drawnAt = [column, row];
    const depth = (last + 0.5 - slice) * gap;
    const crosses = [[transverse, x, y], [sagittal, y, depth], [coronal, x, depth]];
    for (const [shown, across, down] of crosses) shown?.cross.setAttribute("d", `M${across},0v${shown.down}M0,${down}h${shown.across}`);
    for (const shown of planes) {
      shown.doubt.style.display = map && shown === transverse && shows("uncertainty") ? "" : "none";
      shown.cross.style.display = last && shows("cross") ? "" : "none";
      for (const [layer, line] of shown.lines) line.style.display = shows(layer.target) ? "" : "none";
    }
    const slider = byId("slider");
    slider.value = slice;
    const needles = report.marks[slice].filter(({ text }) => text).map(({ text }) => text);
    const drawn = [...Object.keys(report.paths[slice]), ...(needles.length ? [`needles ${needles.join(" ")}`] : [])]
      .join(", ") || "no contour";
    byId("where").textContent = `Slice ${report.numbers[slice]} of ${last + 1} in the file: ${drawn}`;
    slider.setAttribute("aria-valuetext", byId("where").textContent);
    byId("strip")?.querySelectorAll("i").forEach((cell, n) => cell.classList.toggle("here", n === slice));
  };
  const show = (slice) => { at.slice = Math.min(last, Math.max(0, slice)); draw(); };

  // Zoom of the transverse plane, around the cross-hair.
  let zoom = 1;
  const look = (factor) => {
    zoom = factor ? Math.min(8, Math.max(1, zoom * factor)) : 1;
    const [across, down] = [width / zoom, height / zoom];
    move(at.x - across / 2, at.y - down / 2);
  };
  const move = (left, top) => {
    const [across, down] = [width / zoom, height / zoom];
    const within = (value, most) => Math.min(most, Math.max(0, value));
    transverse.view.splice(0, 4, within(left, width - across), within(top, height - down), across, down);
    transverse.svg.style.touchAction = zoom > 1 ? "none" : "";
    transverse.look();
  };

  const go = (shown, [across, down]) => {
    const within = (value, most) => Math.min(most - 1e-6, Math.max(0, value));
    const horizontal = within(across, shown.across);
    if (shown === transverse) at.y = within(down, height);
    else at.slice = last - Math.floor(within(down, shown.down) / gap);
    if (shown === sagittal) at.y = horizontal; else at.x = horizontal;
    draw();
  };
  for (const shown of planes) {
    const { svg, figure } = shown;
    let from = null;
    svg.addEventListener("pointerdown", (event) => {
      from = { x: event.clientX, y: event.clientY, slice: at.slice, view: [...shown.view], moved: false };
      figure.focus({ preventScroll: true });
    });
    svg.addEventListener("pointermove", (event) => {
      if (!from || !event.buttons) return;
      const [right, below] = [event.clientX - from.x, event.clientY - from.y];
      from.moved ||= Math.hypot(right, below) > 4;
      if (!from.moved) return;
      const box = svg.getBoundingClientRect();
      if (shown !== transverse) go(shown, shown.place(event));
      else if (event.pointerType === "touch" && zoom === 1) show(from.slice - Math.round(right / 16));
      else if (zoom > 1) move(from.view[0] - right / box.width * shown.view[2], from.view[1] - below / box.height * shown.view[3]);
    });
    svg.addEventListener("pointerup", (event) => {
      if (from && !from.moved) go(shown, shown.place(event));
      from = null;
    });
    svg.addEventListener("pointercancel", () => { from = null; });
    // The wheel turns slices only after a click on the picture, and never at an end: the page scrolls.
    figure.addEventListener("wheel", (event) => {
      const next = at.slice + Math.sign(event.deltaY);
      if (document.activeElement !== figure || event.ctrlKey || !event.deltaY || next < 0 || next > last) return;
      event.preventDefault();
      show(next);
    }, { passive: false });
  }
  byId("slider").addEventListener("input", (event) => show(Number(event.target.value)));
  const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 5, PageDown: -5,
    Home: -Infinity, End: Infinity };
  document.querySelector(".viewer").addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const input = event.target.tagName === "INPUT";
    const box = document.querySelector(`[data-key="${CSS.escape(event.key.toUpperCase())}"]`);
    const moves = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
    if (event.shiftKey && Object.hasOwn(moves, event.key) && !input) {
      const [right, below] = moves[event.key];
      go(transverse, [at.x + 2 * right, at.y + 2 * below]); // mm
    } else if (Object.hasOwn(steps, event.key) && !input) show(at.slice + steps[event.key]);
    else if ((event.key === "+" || event.key === "-" || event.key === "0")) look({ "+": 1.25, "-": 0.8 }[event.key]);
    else if (box) box.click();
    else return;
    event.preventDefault();
  });
  for (const box of document.querySelectorAll(".toggles input")) box.addEventListener("change", draw);
  for (const button of document.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", () => look(Number(button.dataset.zoom)));
  }

  // Window and level by a filter on the gray pictures.
  const windowed = () => {
    const [range, centre] = ["window", "level"].map((id) => Number(byId(id).value));
    for (const channel of document.querySelectorAll("#gray-window > * > *")) {
      channel.setAttribute("slope", 255 / range);
      channel.setAttribute("intercept", 0.5 - centre / range);
    }
    byId("gray-values").textContent = `${Math.round(centre - range / 2)} to ${Math.round(centre + range / 2)}`;
  };
  for (const id of ["window", "level"]) byId(id).addEventListener("input", windowed);
  byId("reset").addEventListener("click", () => { byId("window").value = 255; byId("level").value = 127.5; windowed(); });

  // Slices as a strip, coloured by the part of their contour that is doubtful.
  if (byId("strip")) {
    byId("strip").append(...report.doubtful.map((share, slice) => {
      const cell = document.createElement("i");
      if (share !== null) cell.style.setProperty("--share", share);
      cell.title = `Slice ${report.numbers[slice]}: ${share === null ? "no contour" : `${share} % of the contour doubtful`}`;
      cell.addEventListener("click", () => show(slice));
      return cell;
    }));
  }

  windowed();
  draw();
  if (sagittal) {
    tell("is being computed");
    load().catch((error) => tell(`cannot be computed: ${error.message}`));
  }
  if (report.surface) {
    Plotly.newPlot("surface", report.surface.data, report.surface.layout, { responsive: true, displaylogo: false, displayModeBar: false });
  }
}
