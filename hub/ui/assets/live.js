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

const SILENCE = 90_000; // Milliseconds without an answer after which the connection is given up: loading a model takes long.
const LOADING = 1500; // Milliseconds without an answer from which on the first frame's delay is explained.
const LONGEST_WAIT = 15; // Seconds between two tries to connect.
const LOST = "uformer-hub-live-lost"; // Since when the hub does not answer.
const RESUMED = 120; // Seconds for which that is remembered.
// Errors that come again with every frame until another choice is made.
const LASTING = new Set(
  "unknown_task unknown_model wrong_task no_models weights_not_installed weights_unusable too_many_pixels frame_too_large too_long".split(" "),
);

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

// Hub

function connect() {
  disconnect();
  const mine = run;
  wait(word("connecting"));
  const address = new URL("ws/process_video", document.baseURI); // Below a sub-path too.
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  address.search = address.hash = "";
  const opened = new WebSocket(address);
  const current = () => mine === run && socket === opened;
  socket = opened;
  lastError = {};
  opened.addEventListener("open", () => {
    if (!current()) return;
    options = { ...chosen(), ...(find("[data-key]").value ? { api_key: find("[data-key]").value.trim() } : {}) };
    halted = false;
    pump();
  });
  opened.addEventListener("message", ({ data }) => {
    if (!current()) return;
    guard();
    if (typeof data === "string") hear(JSON.parse(data));
    else show(data).catch((error) => current() && fail(word("hub_error", { message: error.message })));
  });
  opened.addEventListener("close", ({ code }) => current() && closed(code));
  guard();
}

function disconnect() {
  clearTimeout(watchdog);
  const old = socket;
  socket = limits = sent = options = null;
  old?.close();
}

// A connection that died on the way says nothing.
function guard() {
  clearTimeout(watchdog);
  watchdog = setTimeout(() => (sent || !limits) && !halted && closed(0), SILENCE);
}

const chosen = () => ({ mode: "binary", task_type: props.value.task_type, model_name: props.value.model_name });

function hear(message) {
  if (message.ready) {
    limits = message;
    sessionStorage.removeItem(LOST);
    tries = 0;
    lastError = {};
    complain("");
    find(".hub-live-key").hidden = !props.key_required;
    return pump();
  }
  lastError = message;
  sent = null;
  if (!limits) options = chosen(); // It was the choice that was refused.
  if (["key_required", "wrong_key", "idle", "live_full", "too_many_requests"].includes(message.code)) return; // It closes.
  if (message.code === "fetching_weights") {
    const megabytes = (bytes) => (bytes ? Math.round(bytes / 1e6) : "?");
    wait(word("fetching", { received: megabytes(message.received_bytes), total: megabytes(message.total_bytes) }));
    return later(message.retry_after ?? 1);
  }
  const words = explain(message);
  halted = LASTING.has(message.code);
  if (halted) {
    complain(word("hub_error", { message: words }));
    setState("paused");
    say("");
    return;
  }
  tries += 1;
  const seconds = Math.ceil(backOff());
  wait(word("busy", { message: words, seconds }));
  later(seconds);
}

// The words for an error; the hub's own where the page has none, or they tell more than the hub did.
function explain(error) {
  const words = find(`[data-error="${CSS.escape(error.code)}"]`)?.textContent;
  const told = words && [...words.matchAll(/\{(\w+)\}/g)].every(([, name]) => name in error);
  return told ? fill(words, error) : error.error;
}

const backOff = () => Math.min(LONGEST_WAIT, 2 ** (tries - 1)) * (0.75 + Math.random() / 2);

function later(seconds) {
  clearTimeout(timer);
  const mine = run;
  timer = setTimeout(() => mine === run && pump(), 1000 * seconds);
}

function closed(code) {
  disconnect();
  if (code === 4401) {
    fail(word(lastError.code === "wrong_key" ? "wrong_key" : "key"));
    find(".hub-live-key").hidden = false;
    find("[data-key]").focus();
    return;
  }
  if (code === 1000 && lastError.code === "idle" && !document.hidden) return connect();
  tries += 1;
  const refused = code === 1013 && lastError.code ? lastError : null;
  reconnect(refused ? (refused.retry_after ?? 10) : Math.max(1, Math.round(backOff())), refused);
}

// refused: why the hub does not take this connection; null when it does not answer.
function reconnect(seconds, refused) {
  if (!refused) sessionStorage.setItem(LOST, Date.now());
  if (document.hidden) return pause();
  wait(refused ? refusal(refused, seconds) : word("away", { seconds }));
  clearTimeout(timer);
  const mine = run;
  timer = setTimeout(() => {
    if (mine !== run) return;
    if (seconds > 1) reconnect(seconds - 1, refused);
    else connect();
  }, 1000);
}

function refusal(error, seconds) {
  if (error.code === "live_full") return word("full", { seconds });
  if (error.code === "too_many_requests") return word("too_often", { seconds });
  return word("busy", { message: explain(error), seconds });
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
  if (!running() || !stream || !element.isConnected) return;
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
