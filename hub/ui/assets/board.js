// A board: lines that the hub tells as HTML, escaped by it, and this keeps as told. Lines are known by their id, so that
// pictures, focus and what is being typed stay. It asks the hub only while it is looked at.
// Gradio runs this once per component with element, trigger, props and watch in scope; the template holds no value, so
// its elements stay.
const find = (selector) => element.querySelector(selector);
const root = find(".hub-board");
const rows = find("[data-rows]");
const dialog = find("dialog");
const unlock = find("[data-unlock]");
const PAGE = 20;
const FAST = 1000; // Milliseconds between two looks while something is done,
const SLOW = 4000; // and while nothing is.
const PATIENCE = 90000; // For the answer to an action.

let limit = PAGE;
let seen = ""; // What was told last, in short: nothing is told while that stays the same.
let busy = false;
let due = 0;
let key = ""; // The operator's, once the hub has taken it; it is kept here alone.
let tried = "";
let misses = 0;
let said = null; // What each line said last, by id; null before the first.
let asking = null; // What the open dialog asks about.

const visible = () => !document.hidden && root.getClientRects().length > 0;

function look() {
  due = Date.now() + (busy ? FAST : SLOW);
  trigger("look", { limit, seen, key });
}

// Time, by the browser's own clock and in its own zone.

const relative = new Intl.RelativeTimeFormat(root.dataset.language, { numeric: "auto" });
const exact = new Intl.DateTimeFormat(root.dataset.language, { dateStyle: "medium", timeStyle: "short" });
const day = new Intl.DateTimeFormat(root.dataset.language, { dateStyle: "medium" });

function ago(date) {
  const seconds = Math.max(0, (Date.now() - date) / 1000);
  if (seconds < 50) return relative.format(0, "second");
  if (seconds < 3540) return relative.format(-Math.max(1, Math.round(seconds / 60)), "minute");
  if (seconds < 86400) return relative.format(-Math.max(1, Math.round(seconds / 3600)), "hour");
  if (seconds < 7 * 86400) return relative.format(-Math.floor(seconds / 86400), "day");
  return day.format(date);
}

function tellTimes() {
  for (const time of element.querySelectorAll("time")) {
    const date = new Date(time.dateTime);
    const words = ago(date);
    if (time.textContent === words) continue;
    time.textContent = words;
    time.title = exact.format(date);
  }
}

// Lines

function write(place, content) {
  if (place.told === content) return;
  const active = place.contains(document.activeElement) ? document.activeElement : null;
  place.innerHTML = place.told = content;
  if (!active) return;
  const again = active.dataset.do && place.querySelector(`[data-do="${active.dataset.do}"]:not(:disabled)`);
  (again || place.querySelector("button:not(:disabled), a") || rows).focus();
}

function makeLine(id) {
  const line = document.createElement("li");
  line.dataset.id = id;
  line.className = "hub-entry";
  line.still = document.createElement("div");
  line.still.className = "hub-entry-still";
  line.problem = document.createElement("p");
  line.problem.className = "hub-alert";
  line.problem.setAttribute("role", "alert");
  line.problem.hidden = true;
  line.append(line.still, line.problem);
  return line;
}

function fill(told) {
  const old = new Map([...rows.children].map((line) => [line.dataset.id, line]));
  let place = rows.firstElementChild;
  for (const { id, html, live } of told) {
    const line = old.get(id) ?? makeLine(id);
    old.delete(id);
    write(line.still, html);
    write(line.querySelector("[data-live]"), live);
    if (line === place) place = place.nextElementSibling;
    else rows.insertBefore(line, place);
  }
  for (const line of old.values()) {
    if (line.contains(document.activeElement)) rows.focus();
    line.remove();
  }
}

function tellChanges(told) {
  const now = new Map(told.map((row) => [row.id, row.said]));
  const changes = said && told.filter((row) => said.has(row.id) && said.get(row.id) !== row.said);
  if (changes?.length) find("[data-said]").textContent = changes.map((row) => row.said).join(". ");
  said = now;
}

function setBusy(line, on) {
  if (!line) return;
  clearTimeout(line.patience);
  line.setAttribute("aria-busy", on);
  line.patience = on && setTimeout(() => setBusy(line, false), PATIENCE);
}

function finish({ id, problem }) {
  const line = [...rows.children].find((each) => each.dataset.id === id);
  setBusy(line ?? root, false);
  const alert = line?.problem ?? find(`[data-alert="${id}"]`) ?? find("[data-alert]");
  alert.innerHTML = problem;
  alert.hidden = !problem;
}

function tellLock({ operator, locked, acted }) {
  if (acted?.id === "unlock" && operator) {
    key = tried;
    find("[data-key]").value = "";
    rows.focus();
  }
  misses = operator ? 0 : misses + 1;
  if (misses > 1) key = ""; // Not at once: the first may answer what was asked before the key was there.
  unlock.hidden = operator || !locked;
  find("[data-unlocked]").hidden = !operator;
}

function show() {
  const value = props.value;
  if (!value) return;
  const alert = find("[data-alert]");
  if (!value.acted) {
    alert.innerHTML = value.alert ?? "";
    alert.hidden = !value.alert;
  }
  if (unlock && "operator" in value) tellLock(value);
  if (value.rows) {
    seen = value.seen;
    busy = value.busy;
    tellChanges(value.rows);
    fill(value.rows);
    for (const [name, content] of Object.entries(value.parts ?? {})) write(find(`[data-part="${name}"]`), content);
    for (const [name, hidden] of [["loading", true], ["empty", value.rows.length > 0], ["more", !value.more]]) {
      const part = find(`[data-${name}]`);
      if (part) part.hidden = hidden;
    }
    tellTimes();
  }
  if (value.acted) finish(value.acted);
}

// What people do

function act(data) {
  const line = [...rows.children].find((each) => each.dataset.id === data.id);
  if ((line ?? root).getAttribute("aria-busy") === "true") return;
  setBusy(line ?? root, true);
  if (line) line.problem.hidden = true;
  trigger("act", { ...data, limit, key });
}

function openTab(name) {
  document.querySelector(`[data-tab-id="${name}"]`)?.click();
}

element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button || !element.contains(button)) return;
  if ("more" in button.dataset) {
    limit += PAGE;
    look();
  } else if (button.dataset.tab && !button.dataset.do) {
    openTab(button.dataset.tab);
  } else if (button.dataset.do) {
    const id = button.closest("[data-id]")?.dataset.id ?? button.dataset.do;
    const data = { do: button.dataset.do, id };
    if (button.dataset.do === "show") {
      localStorage.setItem("uformer-hub-tab", button.dataset.tab);
      trigger("open", { id });
    } else if (button.dataset.ask) {
      asking = data;
      dialog.querySelector("[data-question]").textContent = button.dataset.ask;
      dialog.querySelector("[data-confirm]").textContent = button.dataset.yes;
      dialog.setAttribute("aria-label", button.dataset.yes);
      dialog.returnValue = "";
      dialog.showModal();
    } else act(data);
  }
});

dialog.addEventListener("close", () => {
  if (dialog.returnValue === "yes" && asking) act(asking);
  asking = null;
});

unlock?.addEventListener("submit", (event) => {
  event.preventDefault();
  tried = find("[data-key]").value.trim();
  if (tried) trigger("act", { do: "unlock", id: "unlock", limit, key: tried });
});

watch("value", show);
show();
setInterval(() => {
  if (!visible()) due = 0;
  else if (Date.now() >= due) look();
  tellTimes();
}, FAST);
new IntersectionObserver(() => {
  if (visible() && Date.now() >= due) look();
}).observe(root);
