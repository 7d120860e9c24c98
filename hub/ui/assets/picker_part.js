// The frame on the picture: which part of a large photo to preview. It lies on the grid of the hub's regions.
let part = null; // Its corner, in pixels of the photo.
let pictured = ""; // Of which picture.
const within = (least, value, most) => Math.max(least, Math.min(value, most));

function moveFrame(left, top) {
  const { width, height, side, grid } = props.value.framed;
  const settle = (place, length) =>
    within(0, Math.round(place / grid) * grid, Math.ceil(Math.max(0, length - side) / grid) * grid);
  part = { left: settle(left, width), top: settle(top, height) };
  const frame = find("[data-frame]");
  frame.style.left = `${(100 * part.left) / width}%`;
  frame.style.top = `${(100 * part.top) / height}%`;
  frame.style.width = `${(100 * Math.min(side, width - part.left)) / width}%`;
  frame.style.height = `${(100 * Math.min(side, height - part.top)) / height}%`;
  frame.setAttribute("aria-label", fill(props.part_label, part));
}

function placeFrame() {
  const { framed, preview } = props.value ?? {};
  if (!framed || !find("[data-frame]")) return;
  const fresh = pictured !== preview;
  pictured = preview;
  if (fresh) moveFrame((framed.width - framed.side) / 2, (framed.height - framed.side) / 2);
  else moveFrame(part.left, part.top);
}

let grip = null; // Where in the frame it is held, in pixels of the photo.
const onPhoto = (event) => {
  const box = find(".hub-picker-view").getBoundingClientRect();
  const { width, height } = props.value.framed;
  return [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height];
};
const moveTo = (event, [across, down]) => {
  const [x, y] = onPhoto(event);
  moveFrame(x - across, y - down);
};
const centre = () => [props.value.framed.side / 2, props.value.framed.side / 2];
element.addEventListener("pointerdown", (event) => {
  const view = event.target.closest(".hub-picker-view");
  const onFrame = event.target.closest("[data-frame]");
  // Beside the frame a finger may be about to scroll the page.
  if (!view || !props.value?.framed || event.button !== 0 || !(onFrame || event.pointerType === "mouse")) return;
  const [x, y] = onPhoto(event);
  grip = onFrame ? [x - part.left, y - part.top] : centre();
  view.setPointerCapture(event.pointerId);
  moveTo(event, grip);
});
element.addEventListener("click", (event) => {
  const beside = event.target.closest(".hub-picker-view") && !event.target.closest("[data-frame]");
  if (beside && props.value?.framed && event.pointerType === "touch") moveTo(event, centre());
});
element.addEventListener("pointermove", (event) => {
  if (grip) moveTo(event, grip);
});
for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
  element.addEventListener(end, () => {
    grip = null;
  });
}
const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
element.addEventListener("keydown", (event) => {
  if (!event.target.matches("[data-frame]") || !(event.key in arrows)) return;
  const step = props.value.framed.grid * (event.shiftKey ? 4 : 1);
  const [across, down] = arrows[event.key];
  moveFrame(part.left + across * step, part.top + down * step);
  event.preventDefault();
});
placeFrame();
