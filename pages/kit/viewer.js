export default function ({ data, parentElement }) {
  const panes = parentElement.querySelector(".panes"), readout = parentElement.querySelector("output");
  panes.style.setProperty("--space", `${data.space}px`);
  const key = data.images.map((i) => i.label + i.src).join() + data.low + data.high;
  if (panes.key === key) return;  // the same images again: keep zoom and window
  panes.key = key;
  const start = { window: 255, level: 127.5, zoom: 1, x: 0, y: 0, invert: false };
  const view = panes.view = { ...(panes.view || start) };
  const scale = `${data.low} ${data.high}`;
  if (panes.scale !== scale) [view.window, view.level, panes.scale] = [start.window, start.level, scale];
  const canvases = data.images.map(({ label, src, mark: kind }) => {
    const figure = document.createElement("figure"), box = document.createElement("div");
    const canvas = document.createElement("canvas"), caption = document.createElement("figcaption");
    canvas.setAttribute("role", "img"); canvas.setAttribute("aria-label", `${label}, ${kind}`);
    caption.textContent = label;
    const mark = document.createElement("span"); mark.className = `mark ${kind.toLowerCase()}`; mark.textContent = kind;
    box.append(canvas, mark); figure.append(box, caption);
    const picture = new Image();
    picture.onload = () => {
      canvas.width = picture.width; canvas.height = picture.height;
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(picture, 0, 0);
      canvas.raw = context.getImageData(0, 0, canvas.width, canvas.height);
      draw();
    };
    picture.src = src;
    return canvas;
  });
  panes.replaceChildren(...canvases.map((canvas) => canvas.parentElement.parentElement));
  function draw() {
    const low = view.level - view.window / 2;
    const table = Uint8ClampedArray.from({ length: 256 }, (_, v) => (v - low) / view.window * 255);
    for (const canvas of canvases) {
      const magnified = view.zoom * canvas.clientWidth / canvas.width;  // screen pixels for each of the image's
      canvas.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.zoom})`;
      canvas.style.imageRendering = magnified > 4 ? "pixelated" : "auto";
      if (!canvas.raw) continue;
      const shown = new ImageData(canvas.width, canvas.height), from = canvas.raw.data, to = shown.data;
      for (let i = 0; i < from.length; i += 4) to.fill(table[from[i]] ^ (view.invert ? 255 : 0), i, i + 3);
      for (let i = 3; i < from.length; i += 4) to[i] = 255;
      canvas.getContext("2d").putImageData(shown, 0, 0);
    }
    const unit = (data.high - data.low) / 255, percent = Math.round(view.zoom * 100);
    const [window, level] = [view.window * unit, data.low + view.level * unit].map(Math.round);
    readout.value = `W ${window}  L ${level}${data.unit}  ${percent} %${view.invert ? "  inverted" : ""}`;
  }
  const act = {
    in: () => zoom(1.25), out: () => zoom(0.8),
    invert: () => { view.invert = !view.invert; }, reset: () => Object.assign(view, start),
  };
  function zoom(factor) {
    view.zoom = Math.min(16, Math.max(1, view.zoom * factor));
    if (view.zoom === 1) view.x = view.y = 0;
  }
  for (const button of parentElement.querySelectorAll("button"))
    button.onclick = () => { act[button.dataset.do](); draw(); };
  panes.onwheel = (event) => {
    if (!event.ctrlKey) return;  // the page scrolls
    event.preventDefault(); zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15); draw();
  };
  panes.onpointerdown = (event) => { panes.setPointerCapture(event.pointerId); panes.held = true; };
  panes.onpointerup = panes.onpointercancel = () => { panes.held = false; };
  panes.onpointermove = (event) => {
    if (!panes.held) return;
    if (event.shiftKey) { view.x += event.movementX; view.y += event.movementY; return draw(); }
    view.window = Math.min(512, Math.max(1, view.window + event.movementX));
    view.level = Math.min(255, Math.max(0, view.level + event.movementY));
    draw();
  };
  const keys = { "+": "in", "=": "in", "-": "out", i: "invert", r: "reset" };
  panes.onkeydown = ({ key }) => { if (keys[key]) { act[keys[key]](); draw(); } };
  draw();
}
