// A picker: click, drop anywhere on the page, or paste. The file's own bytes are uploaded, never re-encoded.
// Gradio runs this once per component with element, trigger, props, upload and watch in scope; the template is
// rendered again whenever the value changes, so listeners sit on `element` and the document.
const find = (selector) => element.querySelector(selector);

function showBusy(message) {
  const line = find(".hub-picker-busy");
  line.hidden = !message;
  find("[data-busy]").textContent = message || "";
  find("[data-percent]").textContent = "";
  find(".hub-picker").setAttribute("aria-busy", message ? "true" : "false");
}

function showError(message) {
  const line = find(".hub-alert");
  line.hidden = !message;
  line.textContent = message || "";
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
    const refused = () => reject(request.response?.detail); // What the hub says, such as how long to wait.
    request.addEventListener("load", () => (request.status === 200 ? resolve(request.response[0]) : refused()));
    for (const end of ["error", "abort", "timeout"]) request.addEventListener(end, () => reject());
    request.responseType = "json";
    request.open("POST", "gradio_api/upload");
    request.send(form);
    sending = request;
  });
}

const fill = (words, values) => words.replace(/\{(\w+)\}/g, (_, name) => values[name]);

let turn = 0;
let sending = null;

async function take(files) {
  const file = files[0];
  if (!file) return;
  const mine = ++turn;
  sending?.abort();
  showError(files.length > 1 ? props.text_one : "");
  const megabytes = file.size / 1e6;
  if (megabytes > props.max_upload_mb) {
    showBusy("");
    showError(fill(props.text_too_large, { size: Math.ceil(megabytes), max_upload_mb: props.max_upload_mb }));
    return;
  }
  showBusy(fill(props.text_uploading, { name: file.name, size: megabytes < 0.1 ? "<0.1" : megabytes.toFixed(1) }));
  try {
    const path = await send(file, (percent) => {
      if (mine === turn) find("[data-percent]").textContent = `${percent} %`;
    });
    if (mine !== turn) return;
    showBusy(props.text_reading);
    trigger("upload", { path, name: file.name });
  } catch (words) {
    if (mine !== turn) return;
    showBusy("");
    showError(typeof words === "string" ? words : props.text_failed);
  }
}

element.addEventListener("click", (event) => {
  if (event.target.closest("[data-choose]")) find(".hub-picker-input").click();
});
element.addEventListener("change", (event) => {
  if (event.target.matches(".hub-picker-input")) {
    take([...event.target.files]);
    event.target.value = "";
  }
});
watch("value", () => showBusy(""));

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
  take([...event.dataTransfer.files]);
});
document.addEventListener("paste", (event) => {
  const files = [...(event.clipboardData?.files ?? [])];
  if (!visible() || !files.length) return;
  event.preventDefault();
  take(files);
});
