// The calls that do by program what the page just did, with the address under which this browser sees the hub.
const find = (selector) => element.querySelector(selector);
const root = find(".hub-snippet");
const told = find(".hub-snippet-told");

const address = () => (window.location.origin + window.location.pathname).replace(/\/+$/, "");

function load() {
  root.hidden = !props.value;
  told.textContent = "";
  for (const code of root.querySelectorAll("[data-code]")) {
    code.textContent = props.value?.[code.dataset.code].replaceAll("%HUB%", address()) ?? "";
  }
}

// Browsers lend the clipboard to pages of https only; elsewhere a selected text can still be copied.
async function copy(text) {
  if (window.isSecureContext && navigator.clipboard) return navigator.clipboard.writeText(text);
  const field = document.createElement("textarea");
  field.value = text;
  field.style.cssText = "position: fixed; top: 0; opacity: 0";
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  if (!done) throw new Error("The browser copies nothing.");
}

root.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const code = find(`[data-code=${button.dataset.copy}]`);
  try {
    await copy(code.textContent);
  } catch {
    window.getSelection().selectAllChildren(code); // To be copied by hand.
    return;
  }
  button.focus();
  told.textContent = `${button.dataset.copy}: ${button.dataset.done}`;
  const words = button.dataset.words ?? button.textContent;
  button.dataset.words = words;
  button.textContent = button.dataset.done;
  setTimeout(() => (button.textContent = words), 2000);
});

watch("value", load);
load();
