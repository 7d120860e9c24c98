// What the live tab says to the hub through its socket, and what it makes of the answers. live.js tells the rest.
const SILENCE = 90_000; // Milliseconds without an answer after which the connection is given up: loading a model takes long.
const LONGEST_WAIT = 15; // Seconds between two tries to connect.
const LOST = "uformer-hub-live-lost"; // Since when the hub does not answer.
// Errors that come again with every frame until another choice is made.
const LASTING = new Set(
  "unknown_task unknown_model wrong_task no_models weights_not_installed weights_unusable too_many_pixels frame_too_large too_long".split(" "),
);

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
