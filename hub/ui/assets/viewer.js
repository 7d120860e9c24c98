// Shows two pictures of the same size in register: "before" left of the divider, "after" right of it.
// Gradio runs this once per component with element, props and watch in scope; the template holds no value, so its
// elements stay.
const find = (selector) => element.querySelector(selector);
const root = find(".hub-viewer");
const screen = find(".hub-viewer-screen");
const divider = find(".hub-viewer-divider");
const pictures = ["before", "after"].map((side) => find(`[data-picture=${side}]`));
const CLOSEST = 32; // Pixels of the screen for one of the photo, at the most.
const LARGEST_FIT = 8; // The same, for a small picture that is fitted.
const ZOOM = 1.25; // By a key or a button.
const PAN = 0.15; // Of the screen, by a key.

let photo = null; // Width and height in its own pixels; null as long as none is there.
let scale = 1; // CSS pixels for one of the photo.
let x = 0; // Where the photo's corner lies on the screen, in CSS pixels.
let y = 0;
let share = 0.5; // Of the photo's visible width: where the divider stands.
let fitted = true; // It stays fitted when the screen changes.
let begin = null; // How to show a picture that has just come, once the screen has a size.

const within = (least, value, most) => Math.max(least, Math.min(value, most));
const density = () => window.devicePixelRatio || 1;
const one = () => 1 / density();

// A small picture is enlarged by whole numbers only, so that its pixels stay alike.
const evenly = (factor) => (factor * density() < 1 ? factor : within(1, Math.floor(factor * density()), LARGEST_FIT) / density());
const fit = () => evenly(Math.min(screen.clientWidth / photo.width, screen.clientHeight / photo.height));

// Where one axis begins: in the middle if it fits, else without a gap at either end.
const settle = (place, shown, room) => (shown <= room ? (room - shown) / 2 : within(room - shown, place, 0));

function visible() {
  return [Math.max(0, x), Math.min(screen.clientWidth, x + photo.width * scale)];
}

function draw() {
  const width = photo.width * scale;
  const height = photo.height * scale;
  x = settle(x, width, screen.clientWidth);
  y = settle(y, height, screen.clientHeight);
  // On whole pixels of the screen, or the browser would blend neighbours.
  const corner = screen.getBoundingClientRect();
  const snap = (place, edge) => Math.round((edge + place) * density()) / density() - edge;
  const [left, top] = [snap(x, corner.left + screen.clientLeft), snap(y, corner.top + screen.clientTop)];
  for (const picture of pictures) {
    picture.style.width = `${width}px`;
    picture.style.height = `${height}px`;
    picture.style.left = `${left}px`; // Not by a transform, whose fractions browsers round on their own.
    picture.style.top = `${top}px`;
  }
  const [begins, ends] = visible();
  root.style.setProperty("--divider", `${begins + share * (ends - begins)}px`);
  root.dataset.close = scale * density() > 1.001 ? "yes" : "no";
  root.dataset.movable = width > screen.clientWidth + 1 || height > screen.clientHeight + 1 ? "yes" : "no";
  const percent = Math.round(100 * share);
  divider.setAttribute("aria-valuenow", percent);
  divider.setAttribute("aria-valuetext", divider.dataset.words.replace("{percent}", percent));
  find("[data-zoom]").textContent = `${Math.round(100 * scale * density())} %`;
  find("[data-do=fit]").setAttribute("aria-pressed", fitted);
  find("[data-do=one]").setAttribute("aria-pressed", Math.abs(scale / one() - 1) < 0.001);
  find("[data-do=in]").disabled = scale >= most() * 0.999;
  find("[data-do=out]").disabled = scale <= least() * 1.001;
}

const least = () => Math.min(fit(), one());
const most = () => Math.max(fit(), CLOSEST / density());

// What lies at (px, py) of the screen stays there.
function zoom(wanted, px = screen.clientWidth / 2, py = screen.clientHeight / 2) {
  const next = within(least(), wanted, most());
  const changed = Math.abs(next / scale - 1) > 1e-6;
  x = px - ((px - x) * next) / scale;
  y = py - ((py - y) * next) / scale;
  scale = next;
  fitted = Math.abs(scale / fit() - 1) < 0.001;
  draw();
  return changed;
}

function pan(dx, dy) {
  x += dx;
  y += dy;
  draw();
}

function divide(place) {
  const [left, right] = visible();
  share = within(0, (place - left) / (right - left), 1);
  draw();
}

function layOut() {
  if (!photo || !screen.clientWidth || !screen.clientHeight) return;
  root.style.setProperty("--tallest", `${Math.ceil(photo.height * evenly(screen.clientWidth / photo.width))}px`);
  if (begin) {
    fitted = begin === "fit";
    scale = fitted ? fit() : one();
    x = (screen.clientWidth - photo.width * scale) / 2;
    y = (screen.clientHeight - photo.height * scale) / 2;
    begin = null;
  } else if (fitted) {
    scale = fit();
  }
  draw();
}

const actions = {
  in: () => zoom(scale * ZOOM),
  out: () => zoom(scale / ZOOM),
  fit: () => zoom(fit()),
  one: () => zoom(one()),
  fullscreen: () => (document.fullscreenElement ? document.exitFullscreen() : root.requestFullscreen()),
};
find("[data-do=fullscreen]").hidden = !document.fullscreenEnabled;

root.addEventListener("click", (event) => {
  const button = event.target.closest("[data-do]");
  if (button && photo) actions[button.dataset.do]();
});

const keys = { "+": "in", "=": "in", "-": "out", _: "out", 0: "fit", 1: "one" };
const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const steps = { ArrowLeft: -0.02, ArrowRight: 0.02, ArrowDown: -0.02, ArrowUp: 0.02, PageDown: -0.1, PageUp: 0.1, Home: -1, End: 1 };
root.addEventListener("keydown", (event) => {
  if (!photo || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.shiftKey && event.key in arrows) {
    const [across, down] = arrows[event.key];
    pan(-across * PAN * screen.clientWidth, -down * PAN * screen.clientHeight);
  } else if (event.key in keys) actions[keys[event.key]]();
  else if (event.target === divider && event.key in steps) {
    share = within(0, share + steps[event.key], 1);
    draw();
  } else return;
  event.preventDefault();
});

const place = (event) => {
  const corner = screen.getBoundingClientRect();
  return [event.clientX - corner.left - screen.clientLeft, event.clientY - corner.top - screen.clientTop];
};

// Up to its ends the wheel zooms; beyond them it scrolls the page.
screen.addEventListener(
  "wheel",
  (event) => {
    if (!photo) return;
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 30 : 1;
    const factor = Math.exp(-within(-120, event.deltaY * lines, 120) * (event.ctrlKey ? 0.01 : 0.0025));
    if (zoom(scale * factor, ...place(event)) || event.ctrlKey) event.preventDefault();
  },
  { passive: false },
);

const held = new Map(); // Where each finger, or the mouse, was seen last.
let moving = null; // What they move: "divider", "photo", or both fingers' "pinch".
screen.addEventListener("pointerdown", (event) => {
  if (!photo || event.button !== 0) return;
  held.set(event.pointerId, place(event));
  screen.setPointerCapture(event.pointerId);
  if (held.size === 2) moving = "pinch";
  else if (event.target.closest(".hub-viewer-divider")) moving = "divider";
  else moving = root.dataset.movable === "yes" ? "photo" : "divider";
  // A finger may be about to scroll the page instead.
  if (moving === "divider" && event.pointerType === "mouse") divide(held.get(event.pointerId)[0]);
  root.dataset.moving = moving;
});
screen.addEventListener("pointermove", (event) => {
  const last = held.get(event.pointerId);
  if (!last || !photo) return;
  const now = place(event);
  if (moving === "divider") divide(now[0]);
  if (moving === "photo") pan(now[0] - last[0], now[1] - last[1]);
  if (moving === "pinch" && held.size === 2) {
    const [other] = [...held].filter(([id]) => id !== event.pointerId).map(([, point]) => point);
    const apart = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
    pan((now[0] - last[0]) / 2, (now[1] - last[1]) / 2);
    zoom((scale * apart(now)) / Math.max(1, apart(last)), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
  }
  held.set(event.pointerId, now);
});
for (const end of ["pointerup", "pointercancel"]) {
  screen.addEventListener(end, (event) => {
    held.delete(event.pointerId);
    moving = held.size ? "photo" : null;
    root.dataset.moving = moving ?? "";
  });
}
screen.addEventListener("dblclick", (event) => {
  if (!photo || event.target.closest(".hub-viewer-divider")) return;
  if (fitted) zoom(one(), ...place(event));
  else zoom(fit());
});

const fetched = (picture, address) =>
  new Promise((resolve, reject) => {
    picture.onload = resolve;
    picture.onerror = reject;
    picture.src = address;
  });

let turn = 0;
async function load() {
  const mine = ++turn;
  const value = props.value;
  root.hidden = !value;
  find(".hub-alert").hidden = true;
  if (!value) {
    photo = null;
    return;
  }
  // Another blend of the same photo is looked at where one was looking.
  const another = pictures[0].getAttribute("src") !== value.before;
  root.dataset.loading = another ? "yes" : "no";
  try {
    await Promise.all(pictures.map((picture) => fetched(picture, value[picture.dataset.picture])));
  } catch {
    if (mine === turn) find(".hub-alert").hidden = false;
  }
  if (mine !== turn) return;
  root.dataset.loading = "no";
  const [{ naturalWidth: width, naturalHeight: height }] = pictures;
  if (!width) return;
  photo = { width, height };
  screen.style.setProperty("--shape", width / height);
  if (another) {
    begin = value.zoom;
    share = 0.5;
  }
  layOut();
}

new ResizeObserver(layOut).observe(screen);
watch("value", load);
load();
