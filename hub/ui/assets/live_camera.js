// The live tab's camera: opened, named, closed, and the frames that it gives. live.js tells the rest.
const camera = document.createElement("video");
camera.muted = camera.playsInline = true;
const sheet = document.createElement("canvas"); // What is sent is drawn here.
const JPEG = 0.92;

let stream = null;

async function openCamera(id) {
  const video = { width: { ideal: 1280 }, height: { ideal: 720 }, ...(id ? { deviceId: { exact: id } } : {}) };
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: false, video });
  } catch (error) {
    if (!id || error.name !== "OverconstrainedError") throw error;
    return navigator.mediaDevices.getUserMedia({ audio: false, video: true }); // The chosen one is gone.
  }
}

function cameraWords(error) {
  if (["NotAllowedError", "SecurityError"].includes(error.name)) return word("denied");
  if (["NotFoundError", "OverconstrainedError"].includes(error.name)) return word("none");
  if (["NotReadableError", "AbortError"].includes(error.name)) return word("used");
  return word("camera_error", { message: error.message || error.name });
}

async function listCameras() {
  const cameras = (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === "videoinput");
  const used = stream?.getVideoTracks()[0].getSettings().deviceId;
  const names = cameras.map(({ label, deviceId }, place) => {
    const name = label || word("nameless", { number: place + 1 });
    return new Option(name, deviceId, false, deviceId === used);
  });
  find("[data-camera]").replaceChildren(...names);
  find("[data-cameras]").hidden = cameras.length < 2;
}

function closeCamera() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = camera.srcObject = null;
}

const cameraRate = () => stream.getVideoTracks()[0].getSettings().frameRate || 60;

// A JPEG of what the camera shows now, null before it shows anything. most: pixels.
function grab(most, widest) {
  const { videoWidth: width, videoHeight: height } = camera;
  if (!width || !height) return null;
  const scale = Math.min(widest, width, Math.floor(Math.sqrt((most * width) / height))) / width;
  sheet.width = Math.round(width * scale);
  sheet.height = Math.round(height * scale);
  sheet.getContext("2d").drawImage(camera, 0, 0, sheet.width, sheet.height);
  return new Promise((resolve) => sheet.toBlob(resolve, "image/jpeg", JPEG));
}
