const FRAMES_PER_SECOND = 6;
const START = { window: 255, level: 127.5, zoom: 1, x: 0, y: 0, invert: false };
const SVG = "http://www.w3.org/2000/svg";
const KEYS = {
  "+": "in", "=": "in", "-": "out", 1: "pixels", i: "invert", r: "reset", f: "full",
  w: "window", l: "length", o: "region", Backspace: "undo", ArrowLeft: "back", ArrowRight: "next", " ": "play",
};

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".viewer"), find = (name) => root.querySelector(name);
  const panes = find(".panes"), list = find("ol"), slider = find("input");
  root.style.setProperty("--space", `${data.space}px`);
  root.style.setProperty("--panes", `${200 * data.panes.length}px`);  // where there is less room, the notes go below
  root.style.setProperty("--count", data.panes.length);
  const { is_new, ...rest } = data, key = JSON.stringify(rest);
  if (root.key === key) return;  // the same images again: keep zoom, window and measurements
  root.key = key;
  const isTouch = window.matchMedia("(hover: none)").matches;  // there one finger scrolls until a tool is chosen
  const state = (root.state ??= { view: { ...START }, tool: isTouch ? "" : "window", measures: [], frame: 0 });
  const { view } = state;
  const scale = `${data.low} ${data.high}`, count = data.names.length;
  if (state.scale !== scale) Object.assign(view, { window: START.window, level: START.level });
  if (state.count !== count) Object.assign(state, { frame: data.first, count });
  state.scale = scale;
  stop();

  const shown = data.panes.map((pane) => {
    const make = (name, parent) => parent.appendChild(document.createElement(name));
    const figure = document.createElement("figure"), box = make("div", figure), canvas = make("canvas", box);
    const lines = box.appendChild(document.createElementNS(SVG, "svg")), mark = make("span", box);
    canvas.setAttribute("role", "img"); canvas.setAttribute("aria-label", `${pane.label}, ${pane.mark}`);
    mark.className = `mark ${pane.mark.toLowerCase()}`; mark.textContent = pane.mark;
    make("figcaption", figure).textContent = pane.label;
    const made = { ...pane, figure, box, canvas, lines, levels: [], size: { width: 1, height: 1 } };
    pane.frames.forEach((src, index) => {
      const picture = new Image();
      picture.onload = () => { made.levels[index] = read(made, picture); draw(); };
      picture.src = src;
    });
    return made;
  });
  panes.replaceChildren(...shown.map(({ figure }) => figure));
  if (is_new && window.matchMedia("(max-width: 640px)").matches) panes.scrollIntoView({ block: "center" });

  // The gray levels of a picture, rows from the top; all frames of a pane have one size.
  function read(pane, picture) {
    const { width, height } = picture, context = document.createElement("canvas").getContext("2d");
    Object.assign(context.canvas, { width, height });
    context.drawImage(picture, 0, 0);
    const { data: rgba } = context.getImageData(0, 0, width, height);
    Object.assign(pane.canvas, { width, height });
    pane.lines.setAttribute("viewBox", `0 0 ${width} ${height}`);
    pane.size = { width, height };
    return Uint8Array.from({ length: width * height }, (_, i) => rgba[4 * i]);
  }

  function draw() {
    const low = view.level - view.window / 2, flip = view.invert ? 255 : 0;
    const gray = Uint8ClampedArray.from({ length: 256 }, (_, v) => (v - low) / view.window * 255);
    const table = Uint32Array.from(gray, (v) => 0xff000000 | (v ^ flip) * 0x10101);
    for (const pane of shown) {
      const magnified = fitScale(pane.size, boxOf(pane)) * view.zoom;  // screen pixels for each of the image's
      for (const layer of [pane.canvas, pane.lines])
        layer.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.zoom})`;
      const isWhole = Math.abs(magnified * devicePixelRatio - 1) < 0.01;
      pane.canvas.style.imageRendering = magnified > 4 || isWhole ? "pixelated" : "auto";
      pane.lines.replaceChildren(...measuresOf(pane).flatMap((measure) => outline(measure, magnified)));
      const levels = pane.levels[state.frame];
      if (!levels) continue;
      const { width, height } = pane.size, pixels = Uint32Array.from(levels, (v) => table[v]);
      const drawn = new ImageData(new Uint8ClampedArray(pixels.buffer), width, height);
      pane.canvas.getContext("2d").putImageData(drawn, 0, 0);
    }
    const [wide, level] = [view.window * (data.high - data.low) / 255, toUnit(view.level, data)].map(Math.round);
    const percent = Math.round(view.zoom * 100), inverted = view.invert ? "  inverted" : "";
    find("output").value = `W ${wide}  L ${level}${data.unit}  ${percent} %${inverted}`;
    for (const button of root.querySelectorAll("[aria-pressed]"))
      button.setAttribute("aria-pressed", button.dataset.do === state.tool);
    panes.classList.toggle("tool", state.tool !== "");
    find("[data-do=undo]").hidden = !state.measures.length;
    find(".cine").hidden = count < 2;
    [slider.max, slider.value] = [count - 1, state.frame];
    find(".frame").textContent = data.names[state.frame];
    slider.setAttribute("aria-valuetext", data.names[state.frame]);
    find("[data-do=play]").textContent = root.timer ? "Stop" : "Play";
    list.replaceChildren(...state.measures.map(describe));
  }

  const boxOf = ({ box }) => ({ width: box.clientWidth, height: box.clientHeight });
  const isOf = (measure, { size }) => measure.width === size.width && measure.height === size.height;
  const measuresOf = (pane) => state.measures.filter((measure) => isOf(measure, pane));
  const least = () => Math.min(1, ...shown.map((pane) => oneToOne(pane.size, boxOf(pane), devicePixelRatio)));

  function outline(measure, magnified) {
    const { kind, from, to } = measure, center = middle(from, to);
    const shape = document.createElementNS(SVG, kind === "length" ? "line" : "ellipse");
    const place = kind === "length"
      ? { x1: from.x, y1: from.y, x2: to.x, y2: to.y }
      : { cx: center.x, cy: center.y, rx: Math.abs(to.x - from.x) / 2, ry: Math.abs(to.y - from.y) / 2 };
    const name = document.createElementNS(SVG, "text");
    const attributes = { x: Math.max(from.x, to.x) + 4 / magnified, y: to.y, "font-size": 14 / magnified };
    for (const [part, values] of [[shape, { ...place, "stroke-width": 2 / magnified }], [name, attributes]])
      for (const [attribute, value] of Object.entries(values)) part.setAttribute(attribute, value);
    name.textContent = state.measures.indexOf(measure) + 1;
    return [shape, name];
  }

  function describe(measure) {
    const line = document.createElement("li"), { kind, from, to } = measure;
    const fitting = shown.filter((pane) => isOf(measure, pane) && pane.levels[state.frame]);
    const texts = kind === "length"
      ? [describeLength(lengthOf(from, to, data.spacing, data.reduction))]
      : fitting.map((pane) => {
        const found = regionOf(pane.levels[state.frame], pane.size.width, from, to);
        return (fitting.length > 1 ? `${pane.label}: ` : "") + describeRegion(found, pane);
      });
    line.textContent = `${kind === "length" ? "Length" : "Region"}: ${texts.join("\n") || "of an image of another size"}`;
    return line;
  }

  const show = (frame) => { state.frame = (frame + count) % count; };
  function stop() { clearInterval(root.timer); root.timer = 0; }
  function play() {
    if (root.timer) return stop();
    root.timer = setInterval(() => {
      if (!root.isConnected) return stop();
      show(state.frame + 1); draw();
    }, 1000 / FRAMES_PER_SECOND);
  }
  const choose = (tool) => () => { state.tool = state.tool !== tool ? tool : isTouch ? "" : "window"; };
  const zoom = (factor, point = { x: 0, y: 0 }) => Object.assign(view, zoomAbout(view, factor, point, least()));
  const act = {
    in: () => zoom(1.25), out: () => zoom(0.8),
    pixels: () => {
      const [pane] = shown;
      Object.assign(view, { zoom: oneToOne(pane.size, boxOf(pane), devicePixelRatio), x: 0, y: 0 });
    },
    invert: () => { view.invert = !view.invert; }, reset: () => Object.assign(view, START),
    full: () => document.fullscreenElement ? document.exitFullscreen() : root.requestFullscreen?.(),
    window: choose("window"), length: choose("length"), region: choose("region"), undo: () => state.measures.pop(),
    back: () => show(state.frame - 1), next: () => show(state.frame + 1), play,
  };
  for (const button of root.querySelectorAll("button")) button.onclick = () => { act[button.dataset.do](); draw(); };
  find("[data-do=full]").hidden = !document.fullscreenEnabled;  // phones of one maker have none
  root.observer?.disconnect();
  root.observer = new ResizeObserver(draw);
  root.observer.observe(panes);
  slider.oninput = () => { stop(); show(Number(slider.value)); draw(); };
  panes.onkeydown = (event) => {
    const action = KEYS[event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    if (count < 2 && ["back", "next", "play"].includes(action)) return;
    event.preventDefault(); act[action](); draw();
  };

  // Pointers that are down: one works the tool, two zoom and move. Points are seen from the center of a pane's box.
  const pointers = new Map();
  let held = null;
  const paneAt = (event) => shown.find(({ figure }) => figure.contains(event.target));
  const pointAt = ({ clientX, clientY }, { box }) => {
    const { left, top, width, height } = box.getBoundingClientRect();
    return { x: clientX - left - width / 2, y: clientY - top - height / 2 };
  };
  panes.onwheel = (event) => {
    const pane = paneAt(event);
    if (!event.ctrlKey || !pane) return;  // the page scrolls
    event.preventDefault(); zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15, pointAt(event, pane)); draw();
  };
  panes.ontouchstart = panes.ontouchmove = (event) => { if (event.touches.length > 1) event.preventDefault(); };
  panes.onpointerdown = (event) => {
    const pane = held?.pane ?? paneAt(event);
    if (!pane) return;
    panes.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, pointAt(event, pane));
    if (held?.measure) state.measures.splice(state.measures.indexOf(held.measure), 1);  // it was the start of a pinch
    held = { pane, tool: pointers.size > 1 ? "" : event.shiftKey ? "pan" : state.tool, measure: null };
  };
  panes.onpointerup = panes.onpointercancel = (event) => {
    pointers.delete(event.pointerId);
    held = pointers.size ? { ...held, tool: "" } : null;
  };
  panes.onpointermove = (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return probe(event);
    const at = pointAt(event, held.pane), by = { x: at.x - before.x, y: at.y - before.y }, old = [...pointers.values()];
    pointers.set(event.pointerId, at);
    if (!by.x && !by.y) return;
    if (pointers.size === 2) Object.assign(view, pinch(view, old, [...pointers.values()], least()));
    else if (held.tool === "pan") Object.assign(view, pan(view, by));
    else if (held.tool === "window") {
      view.window = Math.min(512, Math.max(1, view.window + by.x));
      view.level = Math.min(255, Math.max(0, view.level + by.y));
    } else if (held.tool) measureTo(before, at);
    draw();
  };

  function measureTo(before, at) {
    const { pane, tool } = held, place = (point) => toImage(point, pane.size, boxOf(pane), view);
    if (!held.measure) {
      held.measure = { kind: tool, from: place(before), ...pane.size };
      state.measures.push(held.measure);
    }
    held.measure.to = place(at);
  }

  // The value under the mouse.
  function probe(event) {
    const pane = paneAt(event), levels = pane?.levels[state.frame];
    if (!levels) { find(".probe").textContent = ""; return; }
    const { x, y } = toImage(pointAt(event, pane), pane.size, boxOf(pane), view);
    const [column, row] = [Math.min(x, pane.size.width - 1), Math.min(y, pane.size.height - 1)].map(Math.floor);
    const value = Math.round(toUnit(levels[row * pane.size.width + column], pane));
    find(".probe").textContent = `x ${column}, y ${row}: ${value}${pane.unit}`;
  }

  draw();
}
