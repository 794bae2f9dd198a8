"""The pictures of the README, taken from the running program in a real browser; nothing is drawn or retouched.

python -m docs.make_pictures all     .nextbest/demo                           docs/pictures   (after `make demo ONCE=1`)
python -m docs.make_pictures lineage http://127.0.0.1:3000 docs/pictures/lineage.png
python -m docs.make_pictures evaluation .nextbest/reports/evaluation/evaluation.html docs/pictures/evaluation.png
python -m docs.make_pictures insights FOLDER/reports/agents/comeback/insights.html docs/pictures/insights.png
python -m docs.make_pictures drift   .nextbest/reports/drift/<window>/drift.html docs/pictures/drift.png
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from PIL import Image
from playwright.sync_api import Page

from orchestration.processes import free_port
from orchestration.ui import start_ui
from recommender.workspace import Workspace, write_bytes_atomically
from tests.browser import open_browser

GROUPS = ("data", "features", "model", "decision", "monitoring")
# Without dbt's inner steps, but with those that lead from the raw files and the journal into the data.
SELECTION = (
    'not (key:"source_items" or key:"source_users" or key:"source_steps" or key:"source_dead_letters" '
    'or key:"source_rejected_lines" or key:"source_counts" or (key:"int_*" and not key:"int_events_united"))'
)
LIMIT_BYTES = 400_000


def take_screenshot(
    url: str, out: Path, wait_for: str, *, size: tuple[int, int], prepare: Callable[[Page], None] | None = None
) -> None:
    """Open `url`, wait until the CSS selector or text `wait_for` is visible, save a PNG of the window."""
    with open_browser(*size) as browser:
        page = browser.open(url)
        page.locator(wait_for).first.wait_for()
        if prepare:
            prepare(page)
        page.wait_for_timeout(1_500)  # layouts and charts glide into place
        shot = page.screenshot(animations="disabled")
    write_bytes_atomically(out, small_png(shot))


def small_png(png: bytes) -> bytes:
    """The picture with as many colours as fit into 400 KB: pages have few, so nobody sees the difference."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    for colours in (256, 128, 64):
        buffer = io.BytesIO()
        picture.quantize(colours, dither=Image.Dither.NONE).save(buffer, format="PNG", optimize=True)
        if buffer.tell() <= LIMIT_BYTES:
            return buffer.getvalue()
    raise ValueError(f"a picture of {buffer.tell():,} bytes; a smaller window fits into {LIMIT_BYTES:,}")


def lineage(base: str, out: Path) -> None:
    """Dagster's asset graph with the five groups open and most of dbt's inner steps left out."""
    opened = ",".join(f"global@global:{group}" for group in GROUPS)
    take_screenshot(
        f"{base.rstrip('/')}/asset-groups~{quote(SELECTION)}/?expanded={quote(opened)}",
        out,
        "text=Global asset lineage",
        size=(1800, 1000),
        prepare=_show_all_of_it,
    )


def drift(report: Path, out: Path) -> None:
    """The top of an Evidently report."""
    take_screenshot(report.absolute().as_uri(), out, "text=Drift is detected", size=(1300, 1000))


def evaluation(report: Path, out: Path) -> None:
    """The top of an evaluation page."""
    take_screenshot(report.absolute().as_uri(), out, "text=Beside simple systems", size=(980, 1120))


def insights(report: Path, out: Path) -> None:
    """Of an agent's page what works for whom."""
    take_screenshot(
        report.absolute().as_uri(),
        out,
        "text=What works for whom",
        size=(980, 1150),
        prepare=lambda page: page.evaluate("scrollTo(0, document.querySelectorAll('section')[1].offsetTop - 20)"),
    )


def everything(workspace: Workspace, folder: Path) -> None:
    """All pictures of a workspace that has lived through the demo: its UI is started for the while."""
    found = [
        path for path in workspace.reports.glob("drift/*/drift.json") if json.loads(path.read_text())["is_drifted"]
    ]
    drift(
        max(found, key=lambda path: int(path.parent.name.rsplit("-", 1)[1])).with_name("drift.html"),
        folder / "drift.png",
    )
    evaluation(workspace.evaluation_page, folder / "evaluation.png")
    port = free_port()
    process = start_ui(workspace, "127.0.0.1", port)
    try:
        process.wait_until_ready(f"http://127.0.0.1:{port}/server_info", 180)
        lineage(f"http://127.0.0.1:{port}", folder / "lineage.png")
    finally:
        process.stop()


def _show_all_of_it(page: Page) -> None:
    """Fold the menu and make the window as high as the graph: Dagster fits the width and lets the rest overflow."""
    page.get_by_text("Hide navigation").click()
    for _ in range(2):  # the second time with the height that the first has shown
        page.reload()
        page.wait_for_timeout(4_000)
        heights = "[...document.querySelectorAll('svg')].map(svg => svg.getBoundingClientRect().height)"
        page.set_viewport_size({"width": 1800, "height": int(max(page.evaluate(heights))) + 160})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", choices=["all", "lineage", "drift", "evaluation", "insights"])
    parser.add_argument("source", help="a workspace, Dagster's address, or a report")
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    if arguments.picture == "all":
        everything(Workspace(Path(arguments.source).absolute()), arguments.out)
    elif arguments.picture == "evaluation":
        evaluation(Path(arguments.source), arguments.out)
    elif arguments.picture == "insights":
        insights(Path(arguments.source), arguments.out)
    elif arguments.picture == "lineage":
        lineage(arguments.source, arguments.out)
    else:
        drift(Path(arguments.source), arguments.out)


if __name__ == "__main__":
    main()
