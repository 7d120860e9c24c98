// Plays two clips of the same frames in step. "after" leads, since it has the sound; "before" follows.
// Gradio runs this once per component with element, props and watch in scope; the template holds no value, so its
// elements stay.
const find = (selector) => element.querySelector(selector);
const root = find(".hub-player");
const before = find("[data-clip=before]");
const after = find("[data-clip=after]");
const clips = [before, after];
const slider = find("[data-seek]");
const STEP = 1; // Seconds that Shift and an arrow key skip.
const LOST = 0.25; // Seconds of drift from which on the follower jumps instead of hurrying.
const INSIDE = 0.001; // Seconds into a frame, so that rounding does not show its neighbour.

let wanted = false; // The person wants it to play.
let rate = 1;
let shown = 0; // Time of the leader's frame on the screen.
let sought = null; // Where it was sent last, until the frame there is on the screen.
let target = null; // Where to send it next.
let scrubbing = false;

const length = () => (Number.isFinite(after.duration) ? after.duration : 0);
const frame = () => props.value?.frame || 0.04; // Seconds of one, on the average.
const atEnd = () => after.ended || (length() > 0 && after.currentTime >= length());

// Both wait while either has no frame to go on with.
const ready = (clip) => clip.ended || (clip.readyState >= HTMLMediaElement.HAVE_FUTURE_DATA && !clip.seeking);

function settle() {
  const go = wanted && !scrubbing && clips.every(ready);
  for (const clip of clips) {
    if (!go && !clip.paused) clip.pause();
    if (go && clip.paused && !clip.ended) {
      clip.play().catch((error) => {
        if (error.name !== "AbortError") stop(); // AbortError: paused again before it began.
      });
    }
  }
  root.dataset.waiting = wanted && !scrubbing && !go ? "yes" : "no";
}

function keepStep() {
  if (before.paused || before.seeking || after.paused || after.seeking) return;
  const drift = before.currentTime - after.currentTime; // Positive: the follower is ahead.
  if (Math.abs(drift) > LOST) {
    before.currentTime = after.currentTime;
    before.playbackRate = rate;
  } else {
    const near = Math.abs(drift) < Math.min(0.01, frame() / 4);
    before.playbackRate = near ? rate : rate * (1 - Math.max(-0.25, Math.min(0.25, drift * 2.5)));
  }
}

function play() {
  if (atEnd()) seek(0);
  wanted = true;
  tell();
  settle();
}

function stop() {
  const played = wanted;
  wanted = false;
  tell();
  settle();
  if (played && !after.ended) seek(shown + INSIDE); // The very same frame on both.
  sought = null;
}

function seek(seconds) {
  target = sought = Math.max(0, Math.min(seconds, length()));
  jump();
}

function jump() {
  if (target === null || clips.some((clip) => clip.seeking)) return;
  for (const clip of clips) clip.currentTime = Math.min(target, clip.duration || target);
  target = null;
  show();
}

function step(direction) {
  if (wanted) stop();
  // From the middle of a frame to the middle of the next: its edge could show either.
  const middle = sought === null ? shown + frame() / 2 : (Math.floor(sought / frame() + 0.01) + 0.5) * frame();
  seek(middle + direction * frame());
}

const tenths = new Intl.NumberFormat(document.documentElement.lang || undefined, {
  minimumIntegerDigits: 2,
  minimumFractionDigits: 1,
  maximumFractionDigits: 1,
});
const clock = (seconds) => `${Math.floor(seconds / 60)}:${tenths.format(seconds % 60)}`;

function show() {
  const now = Math.min(target ?? after.currentTime, length());
  const words = `${clock(Math.floor(now * 10) / 10)} / ${clock(Math.floor(length() * 10) / 10)}`;
  find("[data-time]").textContent = words;
  slider.setAttribute("aria-valuetext", words);
  if (scrubbing) return;
  slider.value = now;
  slider.style.setProperty("--done", `${length() ? (100 * now) / length() : 0}%`);
}

function label(name, on) {
  const button = find(`[data-do=${name}]`);
  const words = on ? button.dataset.on : button.dataset.off;
  button.setAttribute("aria-label", words);
  button.title = words;
}

function tell() {
  root.dataset.playing = wanted ? "yes" : "no";
  label("play", wanted);
  root.dataset.muted = after.muted ? "yes" : "no";
  label("mute", after.muted);
  label("view", root.dataset.view === "wipe");
}

function load() {
  wanted = false;
  target = sought = null;
  shown = 0;
  root.hidden = !props.value;
  find(".hub-alert").hidden = true;
  find("[data-do=mute]").hidden = !props.value?.sound;
  for (const clip of clips) {
    const address = props.value?.[clip.dataset.clip];
    if (address) clip.src = address;
    else clip.removeAttribute("src");
    clip.load();
  }
  tell();
  show();
}

const actions = {
  play: () => (wanted ? stop() : play()),
  back: () => step(-1),
  forward: () => step(1),
  mute: () => {
    after.muted = !after.muted;
    tell();
  },
  view: () => {
    root.dataset.view = root.dataset.view === "wipe" ? "beside" : "wipe";
    tell();
  },
  fullscreen: () => (document.fullscreenElement ? document.exitFullscreen() : root.requestFullscreen()),
};

root.addEventListener("click", (event) => {
  const button = event.target.closest("[data-do]");
  if (button) actions[button.dataset.do]();
  else if (event.target.closest("video") && root.dataset.view === "beside") actions.play();
});

const keys = { " ": "play", k: "play", m: "mute", f: "fullscreen", ArrowLeft: "back", ArrowRight: "forward" };
root.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select, [data-divider]")) return;
  if (event.key === " " && event.target.matches("button")) return; // It presses the button.
  if (event.shiftKey && event.key.startsWith("Arrow")) seek((target ?? after.currentTime) + (event.key === "ArrowLeft" ? -STEP : STEP));
  else if (event.key === "Home") seek(0);
  else if (event.key === "End") seek(length());
  else if (event.key in keys) actions[keys[event.key]]();
  else return;
  event.preventDefault();
});

slider.addEventListener("input", () => {
  scrubbing = true;
  settle();
  seek(Number(slider.value));
  slider.style.setProperty("--done", `${length() ? (100 * slider.value) / length() : 0}%`);
});
slider.addEventListener("change", () => {
  scrubbing = false;
  settle();
});

find("[data-rate]").addEventListener("change", (event) => {
  rate = Number(event.target.value);
  for (const clip of clips) clip.defaultPlaybackRate = clip.playbackRate = rate; // Loading resets one to the other.
});

const divide = (percent) => {
  find("[data-divider]").value = percent;
  root.style.setProperty("--divider", `${percent}%`);
};
find("[data-divider]").addEventListener("input", (event) => divide(event.target.value));
const screens = find(".hub-player-screens");
const drag = (event) => {
  if (root.dataset.view !== "wipe" || (event.pointerType !== "mouse" && !event.buttons)) return;
  const box = screens.getBoundingClientRect();
  divide(Math.max(0, Math.min(100, (100 * (event.clientX - box.left)) / box.width)));
};
screens.addEventListener("pointerdown", drag);
screens.addEventListener("pointermove", drag);

for (const clip of clips) {
  for (const event of ["waiting", "canplay", "canplaythrough", "playing", "seeking"]) clip.addEventListener(event, settle);
  clip.addEventListener("seeked", () => {
    jump();
    settle();
    show();
  });
  clip.addEventListener("error", () => {
    if (!clip.hasAttribute("src")) return;
    find(".hub-alert").hidden = false;
    stop();
  });
}
after.addEventListener("loadedmetadata", () => {
  slider.max = length();
  const shape = after.videoWidth / after.videoHeight || 16 / 9;
  screens.style.setProperty("--shape", shape);
  root.dataset.shape = shape < 1 ? "tall" : "wide";
  show();
});
after.addEventListener("timeupdate", () => {
  keepStep();
  show();
});
after.addEventListener("ended", () => {
  wanted = false;
  tell();
  settle();
  show();
});

if ("requestVideoFrameCallback" in after) {
  const onFrame = (_, { mediaTime }) => {
    // As long as the same frame is shown, steps add up: it may be longer than others.
    if (mediaTime !== shown && target === null && !after.seeking) sought = null;
    shown = mediaTime;
    keepStep();
    show();
    after.requestVideoFrameCallback(onFrame);
  };
  after.requestVideoFrameCallback(onFrame);
} else {
  for (const event of ["timeupdate", "seeked"]) {
    after.addEventListener(event, () => {
      shown = after.currentTime - frame() / 2;
    });
  }
}

// Another tab of the page was opened: nobody could stop the sound from there.
new IntersectionObserver(() => {
  if (wanted && !root.getClientRects().length) stop();
}).observe(root);

watch("value", load);
load();
