// What the live tab shows of frames: the two pictures and the figures below them. live.js tells the rest.
const screens = { before: find("[data-screen=before] canvas"), after: find("[data-screen=after] canvas") };
const RATE_OVER = 3000; // Milliseconds over which frames are counted, at least the last three.
const LATENCIES = 15; // Round trips of which the median is shown.
const SLOW = 3; // Frames per second below which smaller ones are suggested.

let answers = []; // When the last ones came.
let delays = []; // Their round trips, in milliseconds.

function paint(canvas, before, after) {
  canvas.width = before.width;
  canvas.height = before.height;
  const context = canvas.getContext("2d");
  context.drawImage(before, 0, 0);
  if (!after) return;
  context.globalAlpha = props.value.strength ?? 1;
  context.drawImage(after, 0, 0);
}

function count(now, delay) {
  answers = [...answers.filter((time, place) => now - time < RATE_OVER || place > answers.length - 3), now];
  delays = [...delays, delay].slice(-LATENCIES);
  showFigures();
}

function showFigures() {
  const seconds = (answers.at(-1) - answers[0]) / 1000;
  const rate = answers.length > 1 ? (answers.length - 1) / seconds : null;
  const middle = [...delays].sort((one, other) => one - other)[delays.length >> 1];
  const figure = (name, words) => (find(`[data-figure=${name}]`).textContent = words);
  const { width, height } = screens.before;
  figure("rate", rate === null ? "–" : rate.toFixed(1).replace(".", word("decimal_point")));
  figure("latency", middle === undefined ? "–" : word("milliseconds", { time: Math.round(middle) }));
  figure("size", middle === undefined ? "–" : word("pixels", { width, height }));
  find("[data-hint]").hidden = rate === null || rate >= SLOW || delays.length < 5;
}

function forgetFigures() {
  answers = [];
  delays = [];
  showFigures();
}
