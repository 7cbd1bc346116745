export default function({ data, parentElement }) {
  const frame = parentElement.querySelector(".frame");
  for (const side of ["left", "right"]) {
    const image = frame.querySelector("img." + side);
    image.src = data[side].src;
    image.alt = data[side].name;
    frame.querySelector(".name." + side).textContent = data[side].name;
  }
  const range = frame.querySelector("input");
  range.setAttribute("aria-label", `Divider between ${data.left.name} and ${data.right.name}, percent from the left`);
  const move = () => frame.style.setProperty("--at", range.value + "%");
  range.oninput = move;
  frame.style.setProperty("--ratio", data.ratio);
  move();
}
