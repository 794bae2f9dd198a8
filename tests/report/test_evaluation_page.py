"""The evaluation as people see it: every figure where it belongs, nothing from outside, in a real browser."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from browser import open_browser

from orchestration.reports import write_report
from orchestration.status import read_status
from recommender.report.page import evaluation_page
from recommender.report.plots import Row, bar_plot, interval_plot
from recommender.workspace import Workspace


def kept(workspace: Workspace) -> tuple[dict[str, Any], dict[str, Any]]:
    evidence, verdict = (
        json.loads((workspace.models / f"{name}.json").read_text()) for name in ("evidence", "verdict")
    )
    return evidence, verdict


@pytest.mark.slow
def test_the_page_opens_in_a_browser_and_asks_nobody(turned_ring: Any) -> None:
    page_path = turned_ring.workspace.evaluation_page
    evidence, verdict = kept(turned_ring.workspace)
    with open_browser(1000, 1400) as browser:
        page = browser.open(page_path.as_uri())
        assert browser.errors == []
        assert browser.requested == [page_path.as_uri()]
        text = page.locator("main").inner_text()
        assert page.locator("svg").count() >= 10
        assert page.locator("script, link, img").count() == 0
        # nothing reaches beyond its card
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        clipped = "[...document.querySelectorAll('svg text')].filter(t => { const b = t.getBBox(); const w = "
        clipped += "t.ownerSVGElement.viewBox.baseVal.width; return b.x < 0 || b.x + b.width > w }).length"
        assert page.evaluate(clipped) == 0
    assert evidence["version"] in text
    assert f"{evidence['users']['repeat']} people known on" in text
    assert f"{evidence['figures']['challenger']['repeat']['hit@10']['mean']:.0%}" in text
    assert all(reason in text for reason in verdict["reasons"])
    assert "nextbest study" in text  # nobody asked for one yet


@pytest.mark.slow
def test_the_status_names_the_page_and_the_asset_links_it(turned_ring: Any) -> None:
    found = read_status(turned_ring.workspace)["evaluation"]
    assert found["report"] == str(turned_ring.workspace.evaluation_page)
    assert found["challenger"] == turned_ring.report["challenger"]["version"]
    assert turned_ring.report["challenger"]["report"] == turned_ring.workspace.evaluation_page.as_uri()


@pytest.mark.slow
def test_words_from_the_data_are_escaped_and_a_study_of_another_model_stays_out(own_ring: Any) -> None:
    workspace = own_ring.workspace
    evidence, _ = kept(workspace)
    evidence["slices"][0]["name"] = "<script>alert(1)</script>"
    (workspace.models / "evidence.json").write_text(json.dumps(evidence))
    (workspace.models / "study.json").write_text(json.dumps({"version": "another"}))
    write_report(workspace)
    page = workspace.evaluation_page.read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert json.loads(workspace.evaluation_page.with_suffix(".json").read_text())["study"] is None
    assert not re.search(r'(src|href)="', page)


@pytest.mark.slow
def test_a_study_fills_its_sections(own_ring: Any, nextbest: Any) -> None:
    done = nextbest(own_ring.workspace.root, "study", "--rounds", "4", "--rows", "4000", "--json")
    assert done.code == 0, done.err
    evidence, verdict = kept(own_ring.workspace)
    found = json.loads((own_ring.workspace.models / "study.json").read_text())
    assert found["ablation"]["rounds"] == 4
    assert done.json["people"] == found["users"] == evidence["users"]["repeat"]
    page = own_ring.workspace.evaluation_page.read_text()
    assert page == evaluation_page(evidence, verdict, found)
    assert page.count("Without a generator") >= 2
    assert all(f">{name}</text>" in page for name in found["ablation"]["groups"])
    assert found["staleness"]["ages_days"][0] == 0.0
    assert "What age costs" in page


def test_a_dot_lies_where_its_value_is() -> None:
    picture = interval_plot([Row("half", 0.5, 0.25, 0.75), Row("none", note="too few: 3 people")], "title")
    left, right = (float(re.findall(r'<line x1="([\d.]+)"', picture)[place]) for place in (0, -2))
    (dot,) = re.findall(r'circle cx="([\d.]+)"', picture)
    labels = re.findall(r'text-anchor="middle"[^>]*>([^<]+)<', picture)
    assert labels[0] == "0"
    assert labels[-1] == ".800"
    assert float(dot) == pytest.approx(left + (right - left) * 0.5 / 0.8, abs=0.1)
    assert "too few: 3 people" in picture


def test_bars_grow_from_zero_to_both_sides() -> None:
    picture = bar_plot([Row("up", 0.02, 0.01, 0.03), Row("down", -0.02, -0.03, -0.01)], "title")
    (first, first_width), (second, second_width) = re.findall(r'rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', picture)
    assert float(first) == pytest.approx(float(second) + float(second_width))  # both touch zero
    assert float(first_width) == pytest.approx(float(second_width))
    assert "−.020 [−.030,\N{NO-BREAK SPACE}−.010]" in picture
