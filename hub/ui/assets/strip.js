// The strip of a batch. It is told all entries each second, so it changes what differs and keeps its elements: whoever
// walks through them with the keyboard keeps the place.
const find = (selector) => element.querySelector(selector);
const root = find(".hub-strip");
const list = find("ol");

function entry(place) {
  const item = document.createElement("li");
  item.innerHTML =
    '<button type="button"><span class="hub-strip-picture"><img alt="" hidden></span>' +
    '<span class="hub-strip-name"></span><span class="hub-strip-words"></span></button>';
  item.firstChild.dataset.place = place;
  return item;
}

function set(target, name, value) {
  if (target[name] !== value) target[name] = value;
}

function show(button, item) {
  const image = button.querySelector("img");
  set(image, "hidden", !item.picture);
  if (item.picture && image.getAttribute("src") !== item.picture) image.setAttribute("src", item.picture);
  set(button.querySelector(".hub-strip-name"), "textContent", item.name);
  set(button.querySelector(".hub-strip-words"), "textContent", item.words);
  set(button, "title", item.name ? `${item.name}: ${item.words}` : item.words);
  set(button.dataset, "state", item.state);
  button.style.setProperty("--done", `${item.percent ?? 0}%`);
  if (item.current && !button.hasAttribute("aria-current")) {
    button.setAttribute("aria-current", "true");
    list.scrollTo({ left: button.parentElement.offsetLeft - list.clientWidth / 2 + 60 });
  }
  if (!item.current) button.removeAttribute("aria-current");
}

function load() {
  const value = props.value;
  root.hidden = !value;
  if (!value) {
    list.replaceChildren();
    return;
  }
  set(find("[data-title]"), "textContent", value.title);
  set(find("[data-cancel]"), "hidden", !value.going);
  const download = find("[data-download]");
  set(download, "hidden", !value.download);
  set(download, "textContent", value.download_words);
  if (value.download) download.setAttribute("href", value.download);
  while (list.childElementCount > value.items.length) list.lastChild.remove();
  value.items.forEach((item, place) => {
    if (place === list.childElementCount) list.append(entry(place));
    show(list.children[place].firstChild, item);
  });
}

root.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button && "place" in button.dataset) trigger("select", { place: Number(button.dataset.place) });
  if (button && "cancel" in button.dataset) trigger("cancel");
});
root.addEventListener("keydown", (event) => {
  const here = event.target.closest("li");
  const next = { ArrowLeft: here?.previousSibling, ArrowRight: here?.nextSibling }[event.key];
  if (!next) return;
  next.firstChild.focus();
  event.preventDefault();
});

watch("value", load);
load();
