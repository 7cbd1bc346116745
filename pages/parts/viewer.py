"""A viewer of images: zoom, pan and window/level on a canvas, the same for every image side by side.

It changes what is seen, never the data, and marks each image as synthetic, or as real. Pixels reach the browser as PNG
through `data`; no text is taken as HTML.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping

import streamlit as st

from xray_generator.dicom.hounsfield import Window
from xray_generator.images import encode_png
from xray_generator.types import Image

HTML = """
<div class="bar">
  <button data-do="out" title="Zoom out (-)">−</button><button data-do="in" title="Zoom in (+)">+</button>
  <button data-do="invert" title="Invert (I)">Invert</button><button data-do="reset" title="Reset (R)">Reset</button>
  <output></output>
  <small>Drag: window / level. Ctrl + wheel: zoom. Shift + drag: pan.</small>
</div>
<div class="panes" tabindex="0" role="group" aria-label="Image viewer"></div>
"""

CSS = """
.bar { display: flex; flex-wrap: wrap; gap: .4rem; align-items: center; font: .85rem var(--st-font);
  margin-bottom: .4rem; }
button { background: var(--st-secondary-background-color); color: inherit; border: 1px solid var(--st-border-color);
  border-radius: 4px; padding: .2rem .6rem; font: inherit; cursor: pointer; }
output { font-variant-numeric: tabular-nums; white-space: pre; margin-left: .4rem; }
small { opacity: .6; margin-left: auto; }
.bar, .panes { color: var(--st-text-color); }
.panes { display: flex; gap: .6rem; outline-offset: 2px; }
figure { margin: 0; flex: 1 1 0; min-width: 0; max-width: max(256px, calc(100vh - var(--space))); }
figure > div { position: relative; overflow: hidden; background: #000; aspect-ratio: 1; cursor: crosshair;
  touch-action: pan-y; }
canvas { width: 100%; height: 100%; object-fit: contain; transform-origin: 50% 50%; }
.mark { position: absolute; left: .5rem; bottom: .5rem; padding: .1rem .5rem; border-radius: .25rem;
  background: rgb(0 0 0 / .65); color: #fff; font: .8rem var(--st-font); pointer-events: none; }
.mark.real, .mark.given { background: #0072B2; }
figcaption { font: .8rem var(--st-font); opacity: .7; margin-top: .2rem; }
"""

JS = """
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
"""


@st.cache_resource(show_spinner=False)
def _component() -> st.components.v2.types.ComponentRenderer:
    return st.components.v2.component("image_viewer", html=HTML, css=CSS, js=JS)


def draw_viewer(
    images: Mapping[str, Image],
    key: str,
    *,
    space_px: int,
    real: Collection[str] = (),
    unknown: Collection[str] = (),
    window: Window | None = None,
) -> None:
    """Draw (H, W) images in [0, 1] side by side, as high as the browser's window less `space_px`.

    Each is marked "Synthetic", those whose label is in `real` "Real", in `unknown` "Given". `window`: the Hounsfield
    units from black to white, in which window and level are told; None: they are told in the 256 gray levels.
    """
    sources = [
        {
            "label": label,
            "src": f"data:image/png;base64,{base64.b64encode(encode_png(image)).decode()}",
            "mark": "Real" if label in real else "Given" if label in unknown else "Synthetic",
        }
        for label, image in images.items()
    ]
    scale = {"low": 0, "high": 255, "unit": ""}
    if window is not None:
        scale = {"low": window.low, "high": window.high, "unit": " HU"}
    _component()(data={"images": sources, "space": space_px, **scale}, key=key)
