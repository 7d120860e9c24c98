"""The live tab as people use it: a real browser with a camera that shows a clock, on the real program."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from playwright.sync_api import BrowserContext, Locator, Page, WebSocketRoute, expect

from ...browser import unnamed_controls

SLOW = 120_000  # milliseconds: the first frame loads torch and the model on a busy machine
KEY = "a-key-that-nobody-guesses"
# Every camera that the page opened, to see whether it was closed.
WATCH_CAMERAS = """(() => {
  window.cameras = [];
  const devices = navigator.mediaDevices;
  const open = devices.getUserMedia.bind(devices);
  devices.getUserMedia = async (wishes) => {
    const stream = await open(wishes);
    window.cameras.push(stream);
    return stream;
  };
})()"""
STATES = "() => window.cameras.flatMap((stream) => stream.getTracks()).map((track) => track.readyState)"
# Grey values of both pictures, which the page paints in one go.
PICTURES = """() => [...document.querySelectorAll(".hub-live canvas")].map((canvas) => {
  const { width, height } = canvas;
  const bytes = canvas.getContext("2d").getImageData(0, 0, width, height).data;
  return { width, height, greens: [...bytes].filter((_, place) => place % 4 === 1) };
})"""
# What browsers say of cameras that cannot be had, or where there are none to be asked for.
FAILING = """(name) => {
  if (!name) return Object.defineProperty(navigator, "mediaDevices", { value: undefined, configurable: true });
  navigator.mediaDevices.getUserMedia = async () => { throw new DOMException("no", name); };
}"""


def open_tab(page: Page) -> Locator:
    page.get_by_role("tab", name="Live").click()
    view = page.locator(".hub-live")
    expect(view).to_have_attribute("data-state", "idle")
    return view


def wait_for_frames(page: Page) -> None:
    expect(page.locator(".hub-live")).to_have_attribute("data-state", "live", timeout=SLOW)
    expect(page.locator("[data-figure=rate]")).to_have_text(re.compile(r"^\d+\.\d$"), timeout=SLOW)


def check_figures(page: Page) -> None:
    """Size, delay, and both pictures of the same moment: the clock moves, yet they differ only by the restoration."""
    expect(page.locator("[data-figure=size]")).to_have_text("256 \u00d7 144")
    expect(page.locator("[data-figure=latency]")).to_have_text(re.compile(r"^\d+ ms$"))
    before, after = page.evaluate(PICTURES)
    assert (before["width"], before["height"]) == (after["width"], after["height"]) == (256, 144)
    apart = np.abs(np.asarray(before["greens"], float) - after["greens"])
    assert 0 < apart.mean() < 3
    assert np.percentile(apart, 99.9) < 60


def check_views(page: Page) -> None:
    boxes = {name: page.locator(f"[data-screen={name}]") for name in ("before", "after")}
    side = [boxes[name].bounding_box() for name in boxes]
    assert side[0] is not None
    assert side[1] is not None
    assert side[0]["x"] + side[0]["width"] < side[1]["x"]
    page.get_by_role("button", name="Split", exact=True).click()
    assert boxes["before"].bounding_box() == boxes["after"].bounding_box()
    divider = page.get_by_role("slider", name="Where the original ends")
    divider.focus()
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    assert page.eval_on_selector(".hub-live", "view => view.style.getPropertyValue('--divider')") == "48%"
    box = divider.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.48, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + box["height"] / 3)
    page.mouse.up()
    assert 24 <= float(divider.input_value()) <= 26
    page.get_by_role("button", name="Restored", exact=True).click()
    expect(boxes["before"]).to_be_hidden()
    expect(boxes["after"]).to_be_visible()


def check_phone(page: Page) -> None:
    """Nothing is cut off, the camera comes before its settings, and every control has a name."""
    for width in (360, 390):
        page.set_viewport_size({"width": width, "height": 780})
        page.wait_for_function("width => document.documentElement.scrollWidth <= width", arg=width)
    main, side = (page.locator(name).bounding_box() for name in ("#live-main", "#live-columns .hub-side"))
    assert main is not None
    assert side is not None
    assert main["y"] < side["y"]
    assert unnamed_controls(page) == []
    page.set_viewport_size({"width": 1280, "height": 900})


def check_settings(page: Page) -> None:
    """Strength 0 shows the original on both sides; a model that is not installed is refused in words."""
    page.locator("#live-strength input[type=range]").focus()
    page.keyboard.press("Home")
    page.wait_for_function(f"() => new Set(({PICTURES})().map(({{ greens }}) => greens.join())).size === 1")
    page.locator("#live-strength input[type=range]").focus()
    page.keyboard.press("End")
    page.get_by_label("Frame size").select_option("384")
    expect(page.locator("[data-figure=size]")).to_have_text("384 \u00d7 216", timeout=SLOW)
    page.locator("#live-task").get_by_text("Deblur").click()
    alert = page.locator(".hub-live .hub-alert")
    expect(alert).to_contain_text("deblur_b")
    expect(page.locator(".hub-live")).to_have_attribute("data-state", "paused")
    page.locator("#live-task").get_by_text("Denoise").click()
    wait_for_frames(page)
    expect(alert).to_be_hidden()


def check_camera(page: Page, context: BrowserContext) -> None:
    """It goes off with Stop and when another tab is opened, and what keeps it away is said in words."""
    assert page.evaluate(STATES)[-1] == "live"
    page.get_by_role("tab", name="Photo").click()
    page.wait_for_function(f"() => ({STATES})().every((state) => state === 'ended')")
    view = open_tab(page)
    alert = view.locator(".hub-alert")
    context.clear_permissions()
    for name, words in (
        ("", "did not give this page the camera"),
        ("NotFoundError", "No camera was found"),
        ("NotReadableError", "another program may be using it"),
        (None, "only over https"),
    ):
        if name != "":
            page.evaluate(FAILING, name)
        page.get_by_role("button", name="Start camera").click()
        expect(alert).to_contain_text(words)
        expect(view).to_have_attribute("data-state", "idle")


def check_refusals(page: Page) -> None:
    """Why the hub closes a connection is said as it is; that it does not answer, only where it says nothing."""
    answer: dict[str, object] = {}

    def refuse(_: object, socket: WebSocketRoute) -> None:
        if answer:
            socket.send(json.dumps(answer))
        socket.close(code=1013)

    page.route_web_socket("**/ws/process_video", lambda socket: socket.on_message(lambda said: refuse(said, socket)))
    for told, words in (
        ({"code": "too_many_requests", "error": "No."}, "asked more often than it answers. Trying again in"),
        ({"code": "decoder_lost", "error": "The hub's own words."}, "The hub's own words. Trying again in"),
        ({}, "The hub does not answer. Trying again in"),
    ):
        answer.clear()
        answer.update(told and {**told, "retry_after": 30})
        page.get_by_role("button", name="Stop", exact=True).click()
        page.get_by_role("button", name="Start camera").click()
        expect(page.locator("[data-status]")).to_contain_text(words)


def test_the_webcam_is_restored_while_one_looks(
    make_server: Callable[..., Any], open_page: Callable[..., Page], context: BrowserContext
) -> None:
    server = make_server()
    server.start()
    context.add_init_script(WATCH_CAMERAS)
    context.grant_permissions(["camera"])
    page = open_page(server.address, quiet=False)
    open_tab(page)
    assert page.evaluate(STATES) == [], "The camera is left alone until it is asked for."
    page.get_by_role("button", name="Start camera").click()
    wait_for_frames(page)
    check_figures(page)
    check_views(page)
    check_phone(page)
    check_settings(page)

    server.stop()
    expect(page.locator("[data-status]")).to_contain_text("The hub does not answer. Trying again in")
    server.start()
    wait_for_frames(page)
    page.get_by_role("button", name="Stop", exact=True).click()
    page.wait_for_function(f"() => ({STATES})().every((state) => state === 'ended')")
    page.get_by_role("button", name="Start camera").click()
    wait_for_frames(page)
    check_camera(page, context)


def test_keys_and_full_places(
    make_server: Callable[..., Any], open_page: Callable[..., Page], context: BrowserContext
) -> None:
    server = make_server(api_keys=KEY, page="1", live_clients="1")
    server.start()
    context.grant_permissions(["camera"])
    page = open_page(server.address)
    view = open_tab(page)
    field = page.get_by_label("API key")
    for given, words in (("", "asks for an API key"), ("not-the-right-key-at-all", "not one of the hub's keys")):
        field.fill(given)
        page.get_by_role("button", name="Use key").click()
        expect(view.locator(".hub-alert")).to_contain_text(words)
        expect(field).to_be_focused()
    field.fill(KEY)
    page.keyboard.press("Enter")
    wait_for_frames(page)

    page.evaluate("localStorage.clear()")  # A new page would open the tab used last, and has to begin with photos here.
    other = open_page(server.address)
    open_tab(other)
    other.get_by_label("API key").fill(KEY)
    other.get_by_role("button", name="Start camera").click()
    expect(other.locator("[data-status]")).to_contain_text("All places for live pictures are taken. Trying again in")
    page.get_by_role("button", name="Stop", exact=True).click()
    wait_for_frames(other)
    check_refusals(other)
