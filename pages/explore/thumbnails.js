export default function ({ data, parentElement, setTriggerValue }) {
  const grid = parentElement.querySelector(".grid");
  grid.replaceChildren(...data.map(({ src, label, title, chosen }, index) => {
    const button = document.createElement("button"), frame = document.createElement("div");
    const text = document.createElement("div");
    button.type = "button"; button.title = title; button.setAttribute("aria-label", title);
    button.setAttribute("aria-pressed", chosen);
    frame.className = "frame"; text.className = "label"; text.textContent = label;
    if (src) { const image = document.createElement("img"); image.src = src; image.alt = ""; frame.append(image); }
    else frame.textContent = "cannot be read";
    button.append(frame, text);
    button.onclick = () => {
      for (const other of grid.children) other.setAttribute("aria-pressed", other === button);
      setTriggerValue("chosen", index);
    };
    return button;
  }));
}
