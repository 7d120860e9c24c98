// The webcam, restored frame by frame through the hub's socket. Gradio runs this once per component with element, props
// and watch in scope; the template holds no value, so its elements stay.
//
// One frame is under way at a time. The hub keeps only the newest of those that wait, and answers carry no name: with a
// second one on its way it could not be told which picture an answer belongs to.
const find = (selector) => element.querySelector(selector);
const root = find(".hub-live");

const fill = (words, values) => words.replace(/\{(\w+)\}/g, (_, name) => values[name]);
const word = (name, values = {}) => fill(find(`[data-word=${name}]`).textContent, values);

// <!-- parts -->

const LOADING = 1500; // Milliseconds without an answer from which on the first frame's delay is explained.
const RESUMED = 120; // Seconds for which that is remembered.

let run = 0; // The number of this run, so that what an earlier one still awaits does nothing.
let socket = null;
let limits = null; // What the hub said it takes; null until it is ready for frames.
let options = null; // What is to be told to the hub before the next frame.
let halted = false; // The last error will come again: nothing is sent until something else is chosen.
let sent = null; // The frame under way: its file and when it left.
let due = 0; // When the next frame may leave.
let tries = 0;
let lastError = {}; // What the hub said last on this connection that it could not do.
let timer = null;
let watchdog = null;

const running = () => root.dataset.state !== "idle";

function setState(state) {
  root.dataset.state = state; // idle, waiting (for camera, hub or model), live, paused
  find("[data-toggle]").textContent = word(state === "idle" ? "start" : "stop");
}

function say(words) {
  find("[data-status]").textContent = words;
}

function complain(words) {
  const line = find(".hub-alert");
  line.hidden = !words;
  line.textContent = words || "";
}

function wait(words) {
  setState("waiting");
  say(words);
}

// Camera

async function start() {
  stop();
  const mine = run;
  complain("");
  if (!navigator.mediaDevices?.getUserMedia) return complain(word("insecure"));
  wait(word("camera"));
  try {
    const opened = await openCamera(find("[data-camera]").value);
    if (mine !== run) return opened.getTracks().forEach((track) => track.stop());
    stream = opened;
    stream.getVideoTracks()[0].addEventListener("ended", () => mine === run && fail(word("lost")));
    camera.srcObject = stream;
    await camera.play();
    await listCameras();
  } catch (error) {
    if (mine === run) fail(cameraWords(error));
    return;
  }
  if (mine === run) connect();
}

function stop() {
  run += 1;
  clearTimeout(timer);
  disconnect();
  closeCamera();
  tries = 0;
  forgetFigures();
  say("");
  setState("idle");
}

function fail(words) {
  stop();
  complain(words);
}

// Frames

async function pump() {
  clearTimeout(timer);
  if (!running() || sent || halted || socket?.readyState !== WebSocket.OPEN) return;
  if (document.hidden) return pause();
  if (options) {
    limits = null;
    socket.send(JSON.stringify(options));
    options = null;
    return;
  }
  if (!limits) return;
  const early = due - performance.now();
  if (early > 1) return later(early / 1000);
  const mine = run;
  const through = socket;
  sent = { file: null, left: 0 };
  const file = await grab(limits.max_megapixels * 1e6, Number(find("[data-width]").value));
  if (mine !== run || through !== socket) return;
  if (!file) {
    sent = null; // The camera has no picture yet.
    return later(0.1);
  }
  sent = { file, left: performance.now() };
  due = sent.left + 1000 / Math.min(limits.max_fps, cameraRate());
  if (root.dataset.state !== "live") {
    timer = setTimeout(() => mine === run && sent && wait(word("loading")), LOADING);
  }
  socket.send(file);
  guard();
}

// Both pictures change at once, and the original is the very file that was sent.
async function show(answer) {
  if (!sent?.file) return;
  const mine = run;
  const now = performance.now();
  const { file, left } = sent;
  const [before, after] = await Promise.all([createImageBitmap(file), createImageBitmap(answer)]);
  if (mine !== run) return;
  sent = null;
  tries = 0;
  paint(screens.before, before, null);
  paint(screens.after, before, after);
  count(now, now - left);
  if (root.dataset.state !== "live") {
    clearTimeout(timer);
    complain("");
    setState("live");
    say("");
  }
  pump();
}

// A hidden window sends nothing; the camera stays, for it comes back at once.
function pause() {
  clearTimeout(timer);
  setState("paused");
  say(word("paused"));
}

document.addEventListener("visibilitychange", () => {
  if (!running() || !stream || halted || !element.isConnected) return;
  answers = [];
  if (document.hidden) pause();
  else if (socket) {
    wait(word("connecting"));
    pump();
  } else connect();
});

// What people do

root.addEventListener("click", (event) => {
  if (event.target.closest("[data-do=toggle]")) {
    sessionStorage.removeItem(LOST);
    if (running()) stop();
    else start();
  }
  const view = event.target.closest("[data-choose-view]")?.dataset.chooseView;
  if (!view) return;
  root.dataset.view = view;
  for (const button of element.querySelectorAll("[data-choose-view]")) {
    button.setAttribute("aria-pressed", String(button.dataset.chooseView === view));
  }
});
find("[data-divider]").addEventListener("input", (event) => root.style.setProperty("--divider", `${event.target.value}%`));
find("[data-camera]").addEventListener("change", () => running() && start());
find("[data-width]").addEventListener("change", () => {
  forgetFigures();
  resume();
});
find(".hub-live-key").addEventListener("submit", (event) => {
  event.preventDefault();
  start();
});

function resume() {
  if (!halted) return;
  halted = false;
  complain("");
  wait(word("connecting"));
  pump();
}

watch("value", () => {
  if (!running() || socket?.readyState !== WebSocket.OPEN) return;
  const { task_type, model_name } = props.value;
  if (limits && task_type === limits.task_type && model_name === limits.model_name && !halted) return;
  options = chosen();
  forgetFigures();
  resume();
  pump();
});

// Another tab of the page was opened, or the page is left: the camera goes off.
new IntersectionObserver(() => {
  if (running() && !root.getClientRects().length) stop();
}).observe(root);
window.addEventListener("pagehide", stop);

find(".hub-live-key").hidden = !props.key_required;
setState("idle");
showFigures();

// Gradio loads the page anew when the hub was restarted: who was looking then goes on looking.
const lost = Number(sessionStorage.getItem(LOST));
sessionStorage.removeItem(LOST);
if (Date.now() - lost < 1000 * RESUMED) start();
