"""Every place, with hostile and long names in it, in both themes and languages and for each role: for those who use a
screen reader, a keyboard alone, a narrow window, or a zoom of 200 %.

A place that joins src/places.ts is looked at by itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.dashboard.browser import ROLES, Watched, needs_browser
from tests.dashboard.plant import Plant, plant
from tests.dashboard.views import VIEWS, View, places

pytestmark = needs_browser
SPARE = 3       # parts that scroll have the focus too
LANGUAGES = {"en": "Overview", "zh": "概览"}

# What reaches beyond the window, and does not lie in a part that scrolls by itself.
BEYOND = """() => {
  const scrolls = ".table, .side, .scroll, .scrolled, pre, .tree, .hidden";
  const width = document.documentElement.clientWidth;
  return [...document.querySelectorAll("body *")].filter((one) => {
    const around = one.parentElement.closest(scrolls);
    const { width: own, right, left } = one.getBoundingClientRect();
    return !around && !one.closest(".hidden, .skip") && own > 0 && (right > width + 1 || left < -1);
  }).map((one) => `${one.tagName} ${one.className} ${one.textContent.slice(0, 40)}`);
}"""
# Words that are cut off where nothing says so.
CUT = """() => [...document.querySelectorAll("button, label, h1, h2, dt, .segments, header.strip, main > header")]
  .filter((one) => !one.closest(".hidden") && one.clientWidth > 0 && one.scrollWidth > one.clientWidth + 1)
  .map((one) => `${one.tagName} ${one.textContent.slice(0, 60)}`)"""
# Notes each element that gets the focus by the keyboard, of all that can be used: what is missed, and what does not
# show that it has the focus. Rows of a tree share one stop.
NOTE = """(within) => {
  const usable = "a[href], button, input, select, textarea, summary, [tabindex]";
  window.missed = new Set([...document.querySelector(within).querySelectorAll(usable)]
    .filter((one) => one.checkVisibility({ visibilityProperty: true }) && !one.disabled && one.tabIndex >= 0));
  window.unseen = new Set();
  window.nameOf = (one) =>
    `${one.tagName} ${one.className} ${one.getAttribute("aria-label") ?? one.textContent.slice(0, 40)}`;
  window.note ??= document.addEventListener("focusin", ({ target }) => {
    missed.delete(target);
    const { outlineStyle, outlineWidth } = getComputedStyle(target), { width, height } = target.getBoundingClientRect();
    if (outlineStyle === "none" || !parseFloat(outlineWidth) || !(width * height)) unseen.add(nameOf(target));
  }) ?? true;
  const before = document.querySelector(within === "main" ? ".strip .menu-holder button" : ".skip");
  before.focus();
  missed.delete(before);
  unseen.clear();   // of what a script gave the focus
  return missed.size;
}"""
NOTED = """() => ({
  missed: [...missed].filter((one) => one.isConnected).map(nameOf).slice(0, 5), unseen: [...unseen].slice(0, 5),
  isOut: !document.querySelector("main").contains(document.activeElement) })"""
# What answers to the mouse alone: a hand as the pointer, and no element within or around it that has the focus.
MOUSE_ONLY = """() => [...document.querySelectorAll("body *")].filter(
  (one) => getComputedStyle(one).cursor === "pointer" && one.checkVisibility()
  && !one.closest("a[href], button, input, select, label, summary, [tabindex], [role=option]"))
  .map((one) => `${one.tagName} ${one.className}`)"""


@pytest.fixture(scope="module")
def shared_plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    with plant(tmp_path_factory.mktemp("plant")) as made:
        yield made


@pytest.fixture
def at(shared_plant: Plant) -> Iterator[Plant]:
    yield shared_plant
    shared_plant.at.close_pages()


def in_language(watched: Watched, language: str) -> Watched:
    watched.page.evaluate(f"localStorage.setItem('dashboard.language', {json.dumps(json.dumps(language))})")
    watched.page.reload()
    watched.page.get_by_role("heading", name=LANGUAGES[language], level=1).wait_for()
    return watched


def everywhere(watched: Watched, role: str = "administrator", views: list[View] = VIEWS) -> Iterator[View]:
    for view in views:
        if view.is_for(role):
            view.open(watched)
            yield view


def test_every_place_is_known():
    assert len(places()) >= 24
    assert {view.name for view in VIEWS} >= places().keys()


def test_a_screen_reader_is_served_everywhere(at: Plant):
    """WCAG 2.2 AA and best practice by axe-core, colours in both themes."""
    watched = at.at.logged_in("administrator")
    for view in everywhere(watched):
        watched.page.emulate_media(color_scheme="light")
        watched.accessible("html" if view.name == "overview" else "main")
        watched.page.emulate_media(color_scheme="dark")
        watched.accessible("html" if view.name == "overview" else "main", ["color-contrast"])


@pytest.mark.parametrize("role", ROLES[:2])
def test_every_place_is_there_for_less_than_administrators(at: Plant, role: str):
    """A place that needs more says so; nothing is asked for that is refused."""
    watched = at.at.logged_in(role)
    for view in VIEWS:
        view.open(watched)
        if not view.is_for(role):
            watched.page.get_by_role("main").get_by_text("administrator").wait_for()


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_goes_sideways_everywhere(at: Plant, language: str):
    """1.4.10 Reflow, 1.4.4 Resize text: 320 px, and 1360 px at 200 %, where the layout has 680."""
    watched = in_language(at.at.logged_in("administrator"), language)
    found = []
    for view in everywhere(watched):
        for width in (320, 680, 1360):
            watched.page.set_viewport_size({"width": width, "height": 720})
            wide = watched.page.evaluate("document.documentElement.scrollWidth")
            beyond = watched.page.evaluate(BEYOND) + watched.page.evaluate(CUT)
            if wide != width or beyond:
                found.append((view.name, width, wide, beyond[:3]))
    assert found == []


def test_the_keyboard_alone_reaches_everything_everywhere(at: Plant):
    """2.1.1 Keyboard, 2.1.2 No keyboard trap, 2.4.7 Focus visible: Tab goes to all that can be used, and out again."""
    watched = at.at.logged_in("administrator")
    page = watched.page
    page.get_by_role("button", name="Pause").click()      # so that nothing comes or goes meanwhile
    found = []
    for view in everywhere(watched):
        for _ in range(page.evaluate(NOTE, "body" if view.name == "overview" else "main") + SPARE):
            page.keyboard.press("Tab")
        noted = page.evaluate(NOTED) | {"by the mouse alone": page.evaluate(MOUSE_ONLY)[:5]}
        if noted != {"missed": [], "unseen": [], "isOut": True, "by the mouse alone": []}:
            found.append((view.name, noted))
    assert found == []
