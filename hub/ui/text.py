"""Every word of the page, in one place, for people to read and for translators to replace."""

from __future__ import annotations

TITLE = "Uformer Hub"
TAGLINE = "Clean up noisy and blurred photos and videos. Nothing leaves this machine."
FOOTER_PRIVACY = "Your files are processed on this machine and sent nowhere else."
FOOTER_API = "API documentation"

TAB_PHOTO = "Photo"
TAB_VIDEO = "Video"

PICKER_LABEL = "Your photo"
PICKER_TITLE = "Drop a photo here"
PICKER_HINT = "or click to choose one, or paste it"
PICKER_FORMATS = "JPEG, PNG, WebP, TIFF, BMP, AVIF, HEIC and camera raw, up to {max_upload_mb} MB"
PICKER_CHANGE = "Choose another"
PICKER_UPLOADING = "Uploading {name} ({size} MB)…"
PICKER_READING = "Opening the photo…"
PICKER_TOO_LARGE = "This file has {size} MB, and at most {max_upload_mb} MB are accepted. Choose a smaller one."
PICKER_FAILED = "The upload did not arrive. Check that the hub is running and its disk has room, then try again."
PICKER_ONE = "One photo at a time, please: only the first was taken."
PICKER_MISSING = "Choose a photo first: drop it here, paste it, or try an example."
PICKER_GONE = "This photo is no longer in the page's cache. Please choose it again."
PICKER_ALT = "Preview of {name}"
CLIP_PICKER_LABEL = "Your clip"
CLIP_PICKER_TITLE = "Drop a clip here"
CLIP_PICKER_HINT = "or click to choose one"
CLIP_PICKER_FORMATS = "MP4, MOV, MKV, WebM, AVI, MPEG and more, HEVC, ProRes and 10 bit too, up to {max_upload_mb} MB"
CLIP_PICKER_READING = "Opening the clip…"
CLIP_PICKER_ONE = "One clip at a time, please: only the first was taken."
CLIP_PICKER_MISSING = "Choose a clip first: drop it here or click to choose one."
CLIP_PICKER_GONE = "This clip is no longer in the page's cache. Please choose it again."
CLIP_PICKER_ALT = "A frame of {name}"

SIZE = "{width} \u00d7 {height}"
BIT_DEPTH = "{bits}-bit"
SECONDS = "{seconds} s"
FRAMES = "{frames} frames"
ONE_FRAME = "1 frame"
RATE = "{rate} fps"
HDR = "HDR"
NO_SOUND = "no sound"
ONE_SOUND = "with sound"
SOUNDS = "{number} sound streams"
KILOBYTES = "{size} kB"
MEGABYTES = "{size} MB"
CODEC_NAMES = {
    "h264": "H.264",
    "hevc": "H.265",
    "h265": "H.265",
    "av1": "AV1",
    "vp8": "VP8",
    "vp9": "VP9",
    "prores": "ProRes",
    "lossless": "lossless (FFV1)",
    "ffv1": "FFV1",
    "mpeg1video": "MPEG-1",
    "mpeg2video": "MPEG-2",
    "mpeg4": "MPEG-4",
    "mjpeg": "Motion JPEG",
    "dvvideo": "DV",
    "dnxhd": "DNxHD",
    "rawvideo": "uncompressed",
}

EXAMPLES_TITLE = "No photo at hand? Try one of these"
EXAMPLE_USE = "Use the example {title}"
EXAMPLE_STILL_LIFE = "Still life"
EXAMPLE_LAKE = "Mountain lake"
EXAMPLE_STREET = "Night street"

SETTINGS_TITLE = "Restoration"
TASK_LABEL = "Task"
MODEL_LABEL = "Model"
MODEL_NOT_INSTALLED = "{name} · not installed"
MODEL_UNUSABLE = "{name} · cannot be used"
MODEL_LICENCE = "Licence: {licence}."
MODEL_WILL_FETCH = (
    "Its weights are not on this machine yet. The first run downloads them once, if the download server can be reached."
)
MODEL_HOW_TO_FETCH = "Its weights are not installed here. To install them, run:"
MODEL_PROBLEM = "This file cannot be used: {problem}"
MODEL_NONE = "There is no model for this task yet. Put a weights file into the weights folder."
PATCH_LABEL = "Patch processing"
PATCH_INFO = "In overlapping tiles; right for almost every photo."
STRENGTH_LABEL = "Strength"
STRENGTH_INFO = "Less keeps some of the original."
RUN = "Restore photo"
RUN_CLIP = "Restore clip"
RUNNING = "Working…"
TEMPORAL_LABEL = "Smooth over time"
TEMPORAL_INFO = "Calms what flickers from frame to frame; follows motion."
MORE_OPTIONS = "More options"
CODEC_LABEL = "Format of the result"
CODECS = {
    "h264": "H.264 (plays everywhere)",
    "h265": "H.265 (smaller, plays in most places)",
    "av1": "AV1 (smallest, slow to write)",
    "vp9": "VP9 (for the web)",
    "prores": "ProRes (for editing, large)",
    "lossless": "Lossless (FFV1, for archives, very large)",
}
QUALITY_LABEL = "Compression"
QUALITY_INFO = "Constant rate factor: 0 is best and largest, 18 looks like the original."
QUALITY_NONE = "This format has a fixed quality."
START_LABEL = "From"
START_HINT = "the beginning"
END_LABEL = "To"
END_HINT = "the end"
TIME_WRONG = "“{words}” is not a time; write seconds (83.5) or minutes and seconds (1:23.5)."
FRAME_LABEL = "Frame at second"
FRAME_INFO = "See one frame restored before the long run."
PREVIEW = "Preview this frame"
PREVIEW_TITLE = "Preview"
PREVIEW_WORKING = "Restoring the frame at {time}"
PREVIEW_FACTS = "The frame at {time} · {model}"
PREVIEW_HINT = "Smoothing over time shows in the finished clip only."
PREVIEW_FAILED = "The frame could not be restored"
CANCEL = "Cancel"
RESUME = "Resume"
RESUME_HINT = "What is finished is kept: “Resume” goes on from there."
DISCARD = "Discard"
DISCARD_FAILED = "The job could not be discarded: {reason}"
RESUME_FAILED = "The job could not be resumed: {reason}"
CANCEL_FAILED = "The job could not be cancelled and goes on: {reason}"

STAGE_LABEL = "Result"
EMPTY_TITLE = "Before and after, side by side"
EMPTY_HINT = "Choose a photo, press “Restore photo”, and compare the two here."
EMPTY_CLIP_TITLE = "Before and after, in step"
EMPTY_CLIP_HINT = "Choose a clip, preview one frame, press “Restore clip”, and play the two here."
QUEUED_TITLE = "Waiting its turn"
QUEUED_NEXT = "Next in the queue"
QUEUED_POSITION = "Number {position} in the queue"
WORKING_TITLE = "Restoring"
TOOK = "restored in {time}"
ETA = "about {time} left"
ETA_UNKNOWN = "estimating the time left"
SPEED = "{message} · {rate} fps"
LATEST_ALT = "The frame restored last"
BUSY_TITLE = "One moment"
BUSY_HINT = "This page keeps looking; the job goes on."
LEAVE_HINT = "You may close this page: the work goes on, and you will find it here when you come back."
LEAVE_HINT_FOR = (
    "You may close this page: the work goes on, and you find the result here for {time} after it is finished."
)
FAILED_TITLE = "That did not work"
CANCELLED_TITLE = "Cancelled"
CANCELLED_HINT = "Nothing was kept. Change the settings or the photo and run it again."
NOTHING_KEPT_HINT = "Nothing was kept. Change the settings or the clip and run it again."
SERVER_ERROR = "Something unexpected went wrong in the hub. Its log says more."

COMPARE_LABEL = "Before (left) and after (right)"
BEFORE = "Before"
AFTER = "After"
RESULT_STRENGTH_LABEL = "Adjust strength"
RESULT_STRENGTH_INFO = "Blends with the original; no new run needed."
DOWNLOAD = "Download"
DOWNLOAD_NAME = "{stem}-restored{suffix}"
PLAYER_LABEL = "Before and after, playing in step. Space plays and pauses, the arrow keys step by one frame."
PLAYER_BEFORE = "The clip before restoration"
PLAYER_AFTER = "The restored clip"
PLAYER_PLAY = "Play"
PLAYER_PAUSE = "Pause"
PLAYER_BACK = "One frame back"
PLAYER_FORWARD = "One frame forward"
PLAYER_SEEK = "Position"
PLAYER_MUTE = "Mute"
PLAYER_UNMUTE = "Unmute"
PLAYER_SPEED = "Speed"
PLAYER_WIPE = "One over the other"
PLAYER_BESIDE = "Side by side"
PLAYER_DIVIDER = "Where before ends and after begins"
PLAYER_FULLSCREEN = "Full screen"
PLAYER_FAILED = "The browser could not play this. The download below is not affected."
CLIPS_GONE = "There are no clips to play here any more; the download below still works."
REBLEND_FAILED = "The strength could not be changed: {reason}"

GATE_REMOTE = "This hub does not fetch files from other machines."
