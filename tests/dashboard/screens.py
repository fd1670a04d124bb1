"""Pictures of every place in both themes, for people to look at: with the data of a plant, without any, and of what is
in the way: log-in, dialogs, a role that may not, a broker that does not answer.

    python -m tests.dashboard.screens [--docs]

In build/screens/<theme>/. `--docs` renews those of docs/pictures/, which are the only ones that are kept.
"""

from __future__ import annotations

import base64
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.broker_process import CHECKOUT, wait_until
from tests.dashboard.browser import Browsing, Watched, browsing
from tests.dashboard.plant import WARNED, Plant
from tests.dashboard.views import VIEWS, settled

FOUND = CHECKOUT / "build" / "screens"
KEPT = CHECKOUT / "docs" / "pictures"
THEMES = ("light", "dark")
# Of the documentation: picture and theme.
DOCS = (("overview", "light"), ("clients", "dark"), ("topics", "light"), ("explain", "dark"), ("trace", "light"),
        ("plugin", "dark"))
# So long do messages flow before the overview is taken.
HISTORY_S = 75.0
WINDOW = {"width": 1280, "height": 800}
EMPTY = ("clients", "sessions", "subscriptions", "topics", "slow", "topic-metrics", "bans", "alarms")


def taken(watched: Watched, name: str, theme: str, whole: bool = True) -> None:
    watched.page.wait_for_timeout(400)      # charts and counts of the first answers
    watched.page.mouse.move(1, 1)
    watched.page.screenshot(path=FOUND / theme / f"{name}.png", full_page=whole)
    if not whole:
        # A third of a PNG's size; Playwright has no WebP.
        session = watched.page.context.new_cdp_session(watched.page)
        shot = session.send("Page.captureScreenshot", {"format": "webp", "quality": 82})
        (FOUND / f"{name}.webp").write_bytes(base64.b64decode(shot["data"]))


def acts(plant: Plant, watched: Watched) -> dict[str, Callable[[], object]]:
    """What makes something happen where a place shows only what does, by place."""
    page = watched.page

    def traced() -> None:
        page.get_by_role("button", name="Start").click()
        page.locator("tbody tr").nth(25).wait_for(timeout=30_000)
        page.get_by_role("button", name="Stop").click()

    def refused() -> None:
        def is_seen() -> bool:
            plant.refused()
            return page.locator("main tbody tr").count() > 2

        wait_until(is_seen, what="events")

    return {"trace": traced, "events": refused}


def of_places(plant: Plant, theme: str, overview_at: float) -> None:
    watched = plant.at.logged_in("administrator", color_scheme=theme, viewport=WINDOW)
    does = acts(plant, watched)
    for view in sorted(VIEWS, key=lambda one: one.name == "overview"):
        if view.name == "overview":
            time.sleep(max(0.0, overview_at - time.monotonic()))
        view.open(watched)
        does.get(view.name, lambda: None)()
        taken(watched, view.name, theme, whole=(view.name, theme) not in DOCS)


def of_what_is_in_the_way(plant: Plant, theme: str) -> None:
    fresh = plant.at.fresh(color_scheme=theme, viewport=WINDOW)
    fresh.go("overview").get_by_label("User name").wait_for()
    taken(fresh, "log-in", theme)
    viewer = plant.at.logged_in("viewer", "audit", color_scheme=theme, viewport=WINDOW)
    settled(viewer)
    taken(viewer, "role", theme)
    watched = plant.at.logged_in("administrator", "clients", color_scheme=theme, viewport=WINDOW)
    page = watched.page
    page.keyboard.press("Control+k")
    page.keyboard.type("plant/3")
    taken(watched, "palette", theme)
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    taken(watched, "help", theme)
    page.keyboard.press("Escape")
    page.get_by_role("checkbox", name="Select wall-display").check()
    page.get_by_role("button", name="Ban…").click()
    taken(watched, "dialog", theme)
    page.keyboard.press("Escape")
    page.route("**/api/v3/**", lambda route: route.abort())
    page.keyboard.press("r")
    page.get_by_role("alert").wait_for()
    taken(watched, "lost", theme)
    page.unroute_all(behavior="ignoreErrors")
    narrow = plant.at.logged_in("operator", "clients", color_scheme=theme, viewport={"width": 320, "height": 640})
    settled(narrow)
    taken(narrow, "narrow", theme)


def without_data(at: Browsing, theme: str) -> None:
    watched = at.logged_in("administrator", color_scheme=theme, viewport=WINDOW)
    for name in EMPTY:
        watched.go(name)
        settled(watched)
        taken(watched, f"empty-{name}", theme)


def main() -> None:
    shutil.rmtree(FOUND, ignore_errors=True)
    with tempfile.TemporaryDirectory() as place, browsing(Path(place), WARNED) as at:
        for theme in THEMES:
            without_data(at, theme)
        plant = Plant(at, gateways=12)
        began = time.monotonic()
        try:
            with plant.working():
                for theme in THEMES:
                    of_what_is_in_the_way(plant, theme)
                    of_places(plant, theme, began + HISTORY_S)
        finally:
            plant.close()
            at.open_pages.clear()
    if "--docs" in sys.argv:
        KEPT.mkdir(exist_ok=True)
        for name, _ in DOCS:
            shutil.copy(FOUND / f"{name}.webp", KEPT / f"{name}.webp")
    print(f"{len(list(FOUND.rglob('*.png')))} pictures in {FOUND}")


if __name__ == "__main__":
    main()
