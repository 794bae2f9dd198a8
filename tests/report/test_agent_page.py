"""An agent's page as people see it: three sentences first, nothing from outside, wide and narrow, in a real browser."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from browser import open_browser

from benchmarks.insight_page import NAME, live
from orchestration.cli import main
from recommender.agents.insights.affinities import AFFINITY_SCHEMA
from recommender.report.agent_page import agent_page
from recommender.report.agent_words import Words, reason_words, three_sentences
from recommender.simulation.campaigns import Campaign
from recommender.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("agent_page")]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Eight days of an agent and 900 simulated people."""
    space = Workspace(tmp_path_factory.mktemp("agent") / "home")
    live(space, Campaign(900, seed=5), 8)
    return space


@pytest.fixture(scope="module")
def figures(workspace: Workspace) -> dict[str, Any]:
    return json.loads((workspace.agent_reports(NAME) / "insights.json").read_text())


@pytest.mark.parametrize("width", [1200, 400])
def test_the_page_opens_in_a_browser_fits_and_asks_nobody(
    workspace: Workspace, figures: dict[str, Any], width: int
) -> None:
    path = workspace.agent_reports(NAME) / "insights.html"
    with open_browser(width, 900) as browser:
        page = browser.open(path.as_uri())
        assert browser.errors == []
        assert browser.requested == [path.as_uri()]
        assert page.locator("script, link, img").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        lines = page.locator("header li")
        assert lines.all_inner_texts() == figures["sentences"]
        assert f"sent {figures['activity']['messages']:,} messages" in figures["sentences"][0]
        titles = page.locator("h2").all_inner_texts()
    assert titles[:4] == [
        "What it brings, day by day", "What works for whom", "When people respond", "Where people respond"
    ]  # fmt: skip


def test_hours_have_a_colour_only_where_their_interval_leaves_zero_out(figures: dict[str, Any]) -> None:
    found = {"value": 0.02, "low": 0.01, "high": 0.03}
    harms = {"value": -0.02, "low": -0.03, "high": -0.01}
    unsure = {"value": 0.05, "low": -0.01, "high": 0.11}
    own = {**figures["windows"], "weekdays": [[found, harms], [unsure, None], *[[None, None]] * 5]}
    page = agent_page({**figures, "windows": own}, None)
    shades = re.findall(r"<td style=.background:rgba\(([^)]+)\)", page)
    assert [shade.rpartition(",")[2] != "0.00" for shade in shades] == [True, True, False, False]
    assert shades[0].rpartition(",")[0] != shades[1].rpartition(",")[0]


def test_words_of_the_data_are_escaped_and_the_page_follows_from_its_figures(
    workspace: Workspace, figures: dict[str, Any]
) -> None:
    page = (workspace.agent_reports(NAME) / "insights.html").read_text()
    assert agent_page(figures, figures["readout"]) == page
    broken = json.loads(json.dumps(figures).replace("news", "<script>alert(1)</script>"))
    told = agent_page(broken, broken["readout"])
    assert "<script" not in told
    assert "&lt;script&gt;alert(1)" in told
    assert not re.search(r'(src|href)="', told)


def test_the_command_writes_where_it_is_told_and_the_affinities_a_warehouse_reads(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NEXTBEST_HOME", str(workspace.root))
    assert main(["agent", "insights", NAME, "--out", str(tmp_path / "page.html"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (tmp_path / "page.html").exists()
    assert told["agent"] == NAME
    table = pq.read_table(workspace.agent_affinities(NAME))
    assert table.schema.equals(AFFINITY_SCHEMA)
    assert len(table) == 900 * 3


def test_without_a_holdout_nothing_is_said_to_be_earned_and_nobody_different(figures: dict[str, Any]) -> None:
    nothing = {**figures, "segments": []}
    told = three_sentences(nothing, None, Words.of(nothing))
    assert [proven for _, proven in told] == [False, False, False]
    assert "nobody is held out" in told[1][0]
    assert "Nobody is proven to respond differently" in told[2][0]
    assert reason_words("cap 1 a day") == "had enough messages (1 a day)"
