// A picker: click, drop anywhere on the page, or paste. The files' own bytes are uploaded, never re-encoded.
// Gradio runs this once per component with element, trigger, props, upload and watch in scope; the template is
// rendered again whenever the value changes, so listeners sit on `element` and the document.
const PATIENCE = 180_000; // Milliseconds until a file counts as lost that the hub does not answer for.
const find = (selector) => element.querySelector(selector);

let busy = "";

function showBusy(message) {
  busy = message;
  const line = find(".hub-picker-busy");
  line.hidden = !message;
  find("[data-busy]").textContent = message || "";
  find("[data-percent]").textContent = "";
  find("[data-then]").textContent = pressed && message ? props.text_then : "";
  find(".hub-picker").setAttribute("aria-busy", message ? "true" : "false");
}

// What the hub said of these files stands first; it is HTML.
function showErrors(messages) {
  const line = find(".hub-alert");
  line.innerHTML = (props.value?.turn !== earlier && props.value?.error) || "";
  for (const message of messages) {
    if (line.hasChildNodes()) line.append(document.createElement("br"));
    line.append(message);
  }
  line.hidden = !line.hasChildNodes();
}

// What Gradio's own upload() sends, but with its progress: clips are large.
function send(file, progress) {
  return new Promise((resolve, reject) => {
    const form = new FormData();
    form.append("files", file);
    const request = new XMLHttpRequest();
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) progress(Math.floor((100 * event.loaded) / event.total));
    });
    request.addEventListener("load", () => (request.status === 200 ? resolve(request.response[0]) : reject(refusal(request))));
    for (const end of ["error", "abort", "timeout"]) request.addEventListener(end, () => reject());
    request.responseType = "json";
    request.open("POST", "gradio_api/upload");
    request.send(form);
    sending = request;
  });
}

// Why the hub takes no file, in the page's words; in the hub's own where the page has none.
function refusal(request) {
  const seconds = Number(request.getResponseHeader("Retry-After"));
  const wait = fill(seconds < 60 ? props.text_seconds : props.text_minutes, { seconds, minutes: Math.ceil(seconds / 60) });
  const words = props.refusals[request.response?.code];
  return words ? fill(words, { wait, max_megabytes: props.max_upload_mb }) : request.response?.detail;
}

const decimal = new Intl.NumberFormat(props.language, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const fill = (words, values) => words.replace(/\{(\w+)\}/g, (_, name) => values[name]);
const held = () => props.value?.photos?.length ?? (props.value?.name ? 1 : 0);

let turn = 0;
let sending = null;
let pressed = false; // Whether the files are to be restored as soon as they have come.
let waiting = []; // Files still to be sent, of those that were chosen.
let total = 0; // How many there were.
let arrived = false; // Whether any of them is held now; a file that came earlier may be.
let problems = []; // What became of those that could not be sent.
let earlier = null; // Which value there was before.

// The hub makes each change from what is held when it is asked, so it is asked once the one before was answered.
let asked = 0;
let pending = 0; // Changes that are asked for or wait for their turn.
let answered = () => {}; // Called with every new value.
let changes = Promise.resolve();

// Whether the change was made: one that is not wanted any more when its turn comes is left out.
function change(event, facts, wanted = () => true) {
  pending += 1;
  const made = changes
    .then(() => {
      if (!wanted()) return false;
      const number = ++asked;
      return new Promise((resolve, reject) => {
        const patience = setTimeout(() => reject(props.text_failed), PATIENCE);
        answered = (value) => {
          if (value?.answers !== number) return;
          clearTimeout(patience);
          resolve(true);
        };
        trigger(event, { ...facts, asked: number });
      });
    })
    .finally(() => {
      pending -= 1;
    });
  changes = made.catch(() => {});
  return made;
}

function remove(photo) {
  if (photo === null) {
    turn += 1;
    sending?.abort();
    sending = null;
    [pressed, waiting, problems] = [false, [], []];
    showBusy("");
  }
  change("remove", { photo }).catch((words) => showErrors([words]));
}

// Several photos are sent one after the other, each once the hub has opened the one before.
async function take(files, add) {
  if (!files.length) return;
  const joins = props.many && sending && waiting.length && (add || total > 1);
  const room = props.many ? props.many - (add || joins ? held() : 0) - (joins ? waiting.length : 0) : 1;
  const taken = files.slice(0, Math.max(0, room));
  const excess = files.length > taken.length ? [props.many ? fill(props.text_most, { most: props.many }) : props.text_one] : [];
  if (joins) {
    waiting.push(...taken);
    total += taken.length;
    problems.push(...excess);
    return;
  }
  const mine = ++turn;
  sending?.abort();
  pressed = false;
  [waiting, total, problems, earlier] = [taken, taken.length, excess, props.value?.turn];
  showErrors(problems);
  let first = true;
  arrived = false;
  for (let number = 1; waiting.length; number += 1) {
    const how = { add: !first || Boolean(add), first };
    if (await sendOne(waiting[0], number, how, mine)) first = false;
    if (mine !== turn) return;
    waiting.shift();
  }
  sending = null;
  showBusy("");
  showErrors(problems);
  if (pressed && arrived) document.getElementById(props.run).click();
  else if (pressed) find(".hub-alert").scrollIntoView({ behavior: "smooth", block: "nearest" });
  pressed = false;
}

document.addEventListener(
  "click",
  (event) => {
    if (!(sending || pending) || !event.target.closest(`#${props.run}`)) return;
    event.stopImmediatePropagation();
    pressed = true;
    if (sending) find("[data-then]").textContent = props.text_then;
    else changes.then(run);
  },
  true,
);

// What was pressed too early, unless a file has begun to come since.
function run() {
  if (sending || !pressed) return;
  pressed = false;
  document.getElementById(props.run).click();
}

// The browser asks before it leaves a page whose files are still on their way.
window.addEventListener("beforeunload", (event) => {
  if (sending) event.preventDefault();
});

// Whether it came to the hub.
async function sendOne(file, number, how, mine) {
  const megabytes = file.size / 1e6;
  const refuse = (words) => {
    problems.push(total > 1 ? `${file.name}: ${words}` : words);
    return false;
  };
  if (megabytes > props.max_upload_mb) {
    return refuse(fill(props.text_too_large, { size: Math.ceil(megabytes), max_upload_mb: props.max_upload_mb }));
  }
  const facts = { number, total, name: file.name, size: `${megabytes < 0.1 ? "<" : ""}${decimal.format(Math.max(0.1, megabytes))}` };
  showBusy(fill(total > 1 ? props.text_uploading_many : props.text_uploading, facts));
  try {
    const path = await send(file, (percent) => {
      if (mine === turn) find("[data-percent]").textContent = `${percent} %`;
    });
    if (total === 1 && mine === turn) showBusy(props.text_reading);
    let before = 0;
    const made = await change("upload", { path, name: file.name, of: total, ...how }, () => {
      before = how.add ? held() : 0;
      return mine === turn;
    });
    arrived ||= made && held() > before;
    return made;
  } catch (words) {
    return mine === turn && refuse(typeof words === "string" ? words : props.text_failed);
  }
}

let adding = false;
element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if ("choose" in button.dataset) {
    adding = "add" in button.dataset;
    find(".hub-picker-input").click();
  }
  if ("look" in button.dataset || ("frame" in button.dataset && event.detail === 0)) trigger("preview", part);
  if ("remove" in button.dataset) remove(button.dataset.remove);
  if ("clear" in button.dataset) remove(null);
});
element.addEventListener("change", (event) => {
  if (event.target.matches(".hub-picker-input")) {
    take([...event.target.files], adding);
    event.target.value = "";
  }
});
watch("value", () => {
  showBusy(busy); // The template was rendered again.
  answered(props.value);
  placeFrame();
});

const visible = () => element.isConnected && element.offsetParent !== null;
const carriesFiles = (event) => visible() && [...(event.dataTransfer?.types ?? [])].includes("Files");
let depth = 0;
const highlight = (on) => document.body.classList.toggle("hub-dragging", on);

document.addEventListener("dragenter", (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  depth += 1;
  highlight(true);
});
document.addEventListener("dragleave", (event) => {
  if (!carriesFiles(event)) return;
  depth = Math.max(0, depth - 1);
  highlight(depth > 0);
});
document.addEventListener("dragover", (event) => {
  if (carriesFiles(event)) event.preventDefault();
});
document.addEventListener("drop", (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  depth = 0;
  highlight(false);
  take([...event.dataTransfer.files], held() > 1);
});
document.addEventListener("paste", (event) => {
  const files = [...(event.clipboardData?.files ?? [])];
  if (!visible() || !files.length) return;
  event.preventDefault();
  take(files, held() > 1);
});
