# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The page in headless Chromium. Skipped where there is no Chromium, or no playwright to drive it."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fake_backend import Serve, calls
from ros_harness import picture, wait_until
from scripted_pipeline import ScriptedPipeline
from sensor_msgs.msg import Image
from view_room import Room

from llavaseg_ros.images import jpeg_bytes
from llavaseg_ros.ros.convert import depth_mm_to_image
from llavaseg_ros.types import Attributes, Result, Thought

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if CHROMIUM is None:
    pytest.skip("needs Chromium: none is on PATH", allow_module_level=True)

expect = sync_api.expect
expect.set_options(timeout=60_000)
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Open]:
    """open_page(server, width=1280, url="") -> a page. The test fails on any error of the page's own, and on any
    request that goes elsewhere."""
    contexts, troubles = [], []

    def make(server: Any, width: int = 1280, url: str = "", scheme: str = "light") -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        ours = f"http://127.0.0.1:{server.server_port}/"
        page.on("pageerror", lambda error: troubles.append(f"error: {error}"))
        page.on(
            "request",
            lambda request: (
                None if request.url.startswith((ours, f"blob:{ours}")) else troubles.append(f"request: {request.url}")
            ),
        )
        page.on(
            "console",
            lambda message: troubles.append(message.text) if "Content Security Policy" in message.text else None,
        )
        page.goto(url or ours, wait_until="domcontentloaded")
        return page

    yield make
    for context in contexts:
        context.close()
    assert troubles == []


MakeRoom = Callable[..., Room]


def screenshot(page: Any, path: Path) -> np.ndarray:
    page.screenshot(path=path)
    return np.asarray(cv2.imread(str(path)))[:, :, ::-1].astype(int)


def ask(page: Any, text: str) -> None:
    page.fill("#text", text)
    page.press("#text", "Enter")
    expect(page.locator("#record-command")).to_have_text(text)
    expect(page.locator("#record-status")).to_have_text(re.compile("^(done|failed|canceled)"))


def test_a_person_asks_and_sees(make_room: MakeRoom, open_page: Open, tmp_path: Path) -> None:
    room = make_room(ScriptedPipeline(token_s=0.02), outline_s=3600.0)
    room.send_image(picture(240, 320, (100, 80, 60, 50)))
    page = open_page(room.viewer.server)
    expect(page.locator("#node")).to_have_class(re.compile("ok"))
    ask(page, "the mug")
    expect(page.locator("#record-text")).to_have_text("The red mug.")
    expect(page.locator(".target h3")).to_have_text("red mug")
    expect(page.locator(".chips")).to_contain_text("front left")
    expect(page.locator("#stage-list")).to_contain_text("REASONING")
    expect(page.locator("#result-note")).to_contain_text("the mug")
    expect(page.locator("#result")).to_have_attribute("src", re.compile("^blob:"))
    box = box_of(page.locator("#result"))
    x, y = (int(box["x"] + box["width"] * 130 / 320), int(box["y"] + box["height"] * 105 / 240))
    tinted = screenshot(page, tmp_path / "page.png")[y - 4 : y + 4, x - 4 : x + 4].mean((0, 1))
    assert np.abs(tinted - (220, 20, 30)).max() > 20  # the mask's tint over the thing
    assert tinted[2] > 50
    expect(page.locator("#live-note")).to_have_text(re.compile("^(mask of this frame|$)"))
    room.send_image(picture(240, 320, (100, 80, 60, 50)))
    room.send_image(picture(240, 320, (100, 80, 60, 50)))
    expect(page.locator("#live-note")).to_have_text(re.compile("^dashed: the last mask"))
    ask(page, "the banana")
    expect(page.locator("#live-note")).to_have_text("")
    expect(page.locator("#error-name")).to_have_text("NOT_FOUND")
    expect(page.locator("#targets")).to_have_text("No target.")
    # A click in the history brings the command back.
    page.locator("#history button").nth(1).click()
    expect(page.locator("#text")).to_have_value("the mug")
    expect(page.locator("#text")).to_be_focused()


def test_cancel_and_partial_text(make_room: MakeRoom, open_page: Open) -> None:
    room = make_room(ScriptedPipeline(tokens=100_000, token_s=0.01))
    room.send_image()
    page = open_page(room.viewer.server)
    expect(page.locator("#node")).to_have_class(re.compile("ok"))
    expect(page.locator("#cancel")).to_be_disabled()
    page.fill("#text", "the mug")
    page.click("#send")
    expect(page.locator("#record-text")).to_contain_text("word3")
    expect(page.locator("#record-status")).to_contain_text("working")
    page.click("#cancel")
    expect(page.locator("#record-status")).to_have_text(re.compile("^canceled"))
    expect(page.locator("#error-name")).to_have_text("PREEMPTED")


HOSTILE = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"


def test_the_target_of_an_earlier_command_does_not_pass_for_that_of_a_new_one(
    make_room: MakeRoom, open_page: Open
) -> None:
    wait = threading.Event()

    def hold(command: str, rgb: np.ndarray) -> None:
        if command == "the cup":
            wait.wait(60.0)

    room = make_room(ScriptedPipeline(on_segment=hold))
    room.send_image()
    page = open_page(room.viewer.server)
    expect(page.locator("#node")).to_have_class(re.compile("ok"))
    ask(page, "the mug")
    expect(page.locator(".target h3")).to_have_text("red mug")
    expect(page.locator("#mask-age")).not_to_contain_text("earlier")
    page.fill("#text", "the cup")
    page.click("#send")
    expect(page.locator("#mask-age")).to_contain_text("of an earlier command")
    expect(page.locator("#targets")).to_have_class(re.compile("stale"))
    wait.set()
    expect(page.locator("#mask-age")).not_to_contain_text("earlier")


def test_no_text_becomes_html(make_room: MakeRoom, open_page: Open) -> None:
    def reply(command: str, rgb: np.ndarray) -> Result:
        thought = Thought(HOSTILE, Attributes(HOSTILE, HOSTILE, HOSTILE), HOSTILE, HOSTILE, True)
        from scripted_pipeline import make_segment, red_mask

        return Result(command, thought, HOSTILE, True, (make_segment(red_mask(rgb)),), 0.9, {})

    room = make_room(ScriptedPipeline(on_segment=reply))
    room.send_image()
    page = open_page(room.viewer.server)
    expect(page.locator("#node")).to_have_class(re.compile("ok"))
    ask(page, HOSTILE)
    expect(page.locator("#record-text")).to_have_text(HOSTILE)
    expect(page.locator(".target h3")).to_have_text(HOSTILE)
    expect(page.locator("#history button").first).to_contain_text(HOSTILE)
    assert page.locator("img:not(#live):not(#result):not(#depth):not(.mark)").count() == 0
    assert page.locator("script").count() == 1
    assert page.title() == "llavaseg"


def test_clicks_and_keys_in_the_picture(serve: Serve, open_page: Open) -> None:
    server = serve()
    server.backend.pictures["live"] = jpeg_bytes(np.full((240, 320, 3), 90, np.uint8))  # type: ignore[attr-defined]
    page = open_page(server)
    server.backend.state.new_picture("live")
    live = page.locator("#live")
    expect(live).to_have_attribute("src", re.compile("^blob:"))
    box = box_of(live)

    def prompts() -> list[Any]:
        return [call for call in calls(server) if call[0] == "prompt"]

    def click(x: float, y: float, **how: Any) -> Any:
        before = len(prompts())
        live.click(position={"x": box["width"] * x, "y": box["height"] * y}, **how)
        expect(page.locator("#points-note")).to_have_text(re.compile("^Segmented"))
        while len(prompts()) == before:
            page.wait_for_timeout(20)
        return prompts()[-1]

    _, points, labels = click(0.25, 0.75)
    assert points == [pytest.approx((0.25, 0.75), abs=0.01)]
    assert labels == [1]
    _, points, labels = click(0.5, 0.5, modifiers=["Shift"])
    assert points == [pytest.approx((0.25, 0.75), abs=0.01), pytest.approx((0.5, 0.5), abs=0.01)]
    assert labels == [1, 0]
    _, points, labels = click(0.1, 0.1)  # a plain click begins anew
    assert labels == [1]
    page.focus("#live-pad")
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    expect(page.locator("#live-pad .cross")).to_be_visible()
    page.keyboard.press("Enter")
    while len(prompts()) < 4:
        page.wait_for_timeout(20)
    assert prompts()[-1][1] == [pytest.approx((0.12, 0.11), abs=0.012)]


def test_what_is_old_looks_old(make_room: MakeRoom, open_page: Open) -> None:
    room = make_room()
    room.send_image()
    page = open_page(room.viewer.server)
    expect(page.locator("#live-badge")).to_be_visible()  # one frame, and no more
    expect(page.locator("#live-badge")).to_have_text(re.compile("^no new image for"))
    expect(page.locator("#live-pad")).to_have_class(re.compile("old"))
    publisher = room.stack.client.create_publisher(Image, "depth/image", 5)
    wait_until(lambda: publisher.get_subscription_count() >= 2, what="the subscriptions")
    publisher.publish(depth_mm_to_image(np.full((48, 64), 800, np.uint16), room.stack.header()))
    expect(page.locator("#depth-note")).to_have_text(re.compile("^from [0-9.]+ s ago"))
    expect(page.locator("#depth-pad")).to_have_class(re.compile("old"))
    room.viewer.server.close()
    expect(page.locator("#banner")).to_have_text(re.compile("No connection to the viewer"))
    expect(page.locator("#send")).to_be_disabled()
    expect(page.locator("#live-badge")).to_have_text("no connection")


def test_the_follow_switch(make_room: MakeRoom, open_page: Open) -> None:
    room = make_room()
    room.send_image()
    page = open_page(room.viewer.server)
    expect(page.locator("#follow")).to_be_enabled()
    page.locator("label.switch").click()
    expect(page.locator("#follow-state")).to_have_text("idle")  # /diagnostics has it
    assert room.stack.node.get_parameter("follow.enabled").value is True
    expect(page.locator("#follow")).to_be_checked()


def test_the_token_form(serve: Serve, open_page: Open) -> None:
    server = serve(token="correct-horse-battery")
    page = open_page(server)
    page.fill("#token", "wrong-wrong-wrong")
    with page.expect_navigation():  # or the next token is filled into the page that goes away
        page.click("button")
    expect(page.locator("h1")).to_contain_text("asks for a token")
    page.fill("#token", "correct-horse-battery")
    page.click("button")
    expect(page.locator("#node-name")).to_have_text("/llavaseg")
    assert page.url == f"http://127.0.0.1:{server.server_port}/"
    other = open_page(server, url=server.url)
    expect(other.locator("#node-name")).to_have_text("/llavaseg")
    assert "token" not in other.url


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_and_can_be_read(serve: Serve, open_page: Open, width: int, scheme: str) -> None:
    server = serve()
    server.backend.pictures["live"] = jpeg_bytes(np.full((480, 640, 3), 90, np.uint8))  # type: ignore[attr-defined]
    state = server.backend.state
    state.begin("id1", "a" * 400, "page")
    state.set_node("error", "model not loaded: " + "x" * 300, {"a long key [s]" * 3: "v" * 200})
    state.new_picture("live")
    page = open_page(server, width, scheme=scheme)
    expect(page.locator("#record-command")).to_have_text("a" * 400)
    page.locator("#details summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for name in ("#text", "#send", "#live"):
        box = box_of(page.locator(name))
        assert box["x"] >= 0 and box["x"] + box["width"] <= width
    for name in ("#record-text", "#node-text", ".hint"):
        assert contrast(page, name) >= 4.5, name


def box_of(locator: Any) -> dict[str, float]:
    """Where an element is, in CSS pixels, once it is shown; a picture has its place only once it is loaded."""
    expect(locator).to_be_visible()
    locator.evaluate("(element) => element.tagName === 'IMG' ? element.decode() : undefined")
    box: dict[str, float] = locator.bounding_box()
    return box


def contrast(page: Any, selector: str) -> float:
    """WCAG contrast of a text with what is behind it."""
    colors = page.evaluate(
        """(selector) => {
          const element = document.querySelector(selector);
          const solid = (value) => !/^rgba\\(.*, 0\\)$|^transparent$/.test(value);
          let behind = element;
          while (behind && !solid(getComputedStyle(behind).backgroundColor)) behind = behind.parentElement;
          return [getComputedStyle(element).color, getComputedStyle(behind || document.body).backgroundColor];
        }""",
        selector,
    )
    lights = []
    for color in colors:
        channels = [int(value) / 255 for value in re.findall(r"\d+", color)[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(lights) + 0.05) / (min(lights) + 0.05)
