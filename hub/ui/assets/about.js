// The sheet about the models: whatever on the page has data-about opens it. It may be made anew when its value changes.
const sheet = () => element.querySelector("dialog");

document.addEventListener("click", (event) => {
  if (!element.isConnected) return;
  if (event.target.closest("[data-about]")) sheet().showModal();
  else if (event.target === sheet()) sheet().close(); // Beside it.
});
