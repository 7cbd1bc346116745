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
  range.oninput = move;  // by the arrow keys; a pointer may go down anywhere, also where a phone moves the thumb alone
  const follow = (event) => {
    const { left, width } = frame.getBoundingClientRect();
    range.value = 100 * (event.clientX - left) / width;
    move();
  };
  frame.onmousedown = (event) => event.preventDefault();  // it would take the focus, and with it the arrow keys, away
  frame.onpointerdown = (event) => { frame.setPointerCapture(event.pointerId); range.focus(); follow(event); };
  frame.onpointermove = (event) => { if (frame.hasPointerCapture(event.pointerId)) follow(event); };
  frame.style.setProperty("--ratio", data.ratio);
  move();
}
