export default function ({ data, parentElement, setTriggerValue }) {
  const grid = parentElement.querySelector(".grid");
  grid.replaceChildren(...data.map(({ src, label, title, chosen, marked }, index) => {
    const tile = document.createElement("div"), button = document.createElement("button");
    const frame = document.createElement("div"), text = document.createElement("div");
    tile.className = "tile";
    button.type = "button"; button.title = title; button.setAttribute("aria-label", title);
    button.setAttribute("aria-pressed", chosen);
    frame.className = "frame"; text.className = "label"; text.textContent = label;
    if (src) { const image = document.createElement("img"); image.src = src; image.alt = ""; frame.append(image); }
    else frame.textContent = "cannot be read";
    button.append(frame, text);
    button.onclick = () => {
      for (const other of grid.querySelectorAll("button")) other.setAttribute("aria-pressed", other === button);
      setTriggerValue("chosen", index);
    };
    tile.append(button);
    if (marked !== null) {
      const box = document.createElement("input");
      box.type = "checkbox"; box.checked = marked; box.title = "Select"; box.setAttribute("aria-label", `Select ${title}`);
      box.onchange = () => setTriggerValue("marked", index);
      tile.append(box);
    }
    return tile;
  }));
}
