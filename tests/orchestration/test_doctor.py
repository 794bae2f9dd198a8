"""`nextbest doctor` says why events do not count; its figures are the mart's, or counted alike before that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from orchestration.cli import main
from orchestration.doctor import diagnose
from orchestration.event_health import add_up, health_of
from orchestration.nearest_ids import nearest_ids
from recommender.workspace import Workspace
from services.clock import Clock
from services.journal import Journal, export_journal
from services.segment import parse_messages

CATALOGUE = ["0017", "0042", "mug-blue", "teapot-large"]


def tell(workspace: Workspace, *messages: dict[str, Any]) -> None:
    bodies = [{"type": "track", "userId": "u", "messageId": f"m{n}", **body} for n, body in enumerate(messages)]
    journal = Journal(workspace.journal)
    journal.append([parse_messages(bodies, None, Clock("replay", 0))])
    journal.close()


def viewed(product_id: str, **rest: Any) -> dict[str, Any]:
    return {"event": "Product Viewed", "properties": {"product_id": product_id}, **rest}


def at(moment: str) -> dict[str, Any]:
    return {"context": {"occurred_at": moment}}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace with a catalogue, before anything was landed from its journal."""
    workspace = Workspace(tmp_path)
    workspace.marts.mkdir()
    pq.write_table(pa.table({"item_id": CATALOGUE}), workspace.mart("items"))
    return workspace


def sentences(workspace: Workspace) -> list[str]:
    return [finding["sentence"] for finding in diagnose(workspace)["findings"]]


def test_events_that_name_unlisted_items_come_with_the_nearest_ids(workspace: Workspace) -> None:
    tell(workspace, *[viewed("SKU-17")] * 3, *[viewed("mug-bleu")] * 2, viewed("0042"), viewed("something else"))
    (finding,) = diagnose(workspace)["findings"]
    assert finding["sentence"] == "6 of 7 `view` events name items that are not in the catalogue."
    assert "SKU-17 (3×, nearest: 0017), mug-bleu (2×, nearest: mug-blue)" in finding["remedy"]
    assert "something else (1×, nothing is near)" in finding["remedy"]


def test_each_kind_of_omission_has_its_sentence(workspace: Workspace) -> None:
    order = {"event": "Order Completed", "properties": {"products": [{"product_id": "0017"}]}}
    shown = {"event": "Product List Viewed", "properties": {"products": [{"product_id": "0017"}]}}
    nameless = {**viewed("0017"), "userId": None, "anonymousId": "x"}
    tell(workspace, order, shown, nameless, {"event": "Product Veiwed"}, {"event": "Quiz Finished"}, {"event": ""})
    found = sentences(workspace)
    for told in (
        "1 of 1 `purchase` events carry no price.",
        "1 of 1 `purchase` events carry no quantity.",
        "1 of 1 `impression` events carry no decision_id.",
        "1 of 1 `impression` events carry no placement.",
        "1 of 5 events belong to people who were never identified.",
        "1 events are called `product_veiwed`, which is nobody's name and near to `product_viewed`.",
        "1 `quiz_finished` events are kept, but name no item: they say nothing about a taste.",
        "1 dead letter: a track message must name its event as text.",
    ):
        assert told in found
    assert len(found) == 8


def test_endlessly_many_reasons_are_told_in_a_few_findings(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The type in a reason is the sender's: as many reasons as letters."""
    tell(workspace, *({"type": f"kind-{n}"} for n in range(1_000)), *({"event": "", "n": n} for n in range(2)))
    found = [told for told in sentences(workspace) if "dead letter" in told]
    assert found[0] == "2 dead letters: a track message must name its event as text."
    assert found[1].startswith("1 dead letter: type 'kind-")
    assert found[10:] == ["991 dead letters for 991 rarer reasons."]
    monkeypatch.setenv("NEXTBEST_HOME", str(workspace.root))
    assert main(["dead-letters", "list", "--limit", "0"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert (len(listed), listed[-1].split()[:2]) == (21, ["981", "981"])


def test_late_and_silent_kinds_are_told(workspace: Workspace) -> None:
    days = [viewed("0017", **at(f"2026-01-0{day}")) for day in range(1, 4)]
    clicks = [
        {**body, "event": "Product Clicked", "properties": {"product_id": "0017", "decision_id": "d"}} for body in days
    ]
    tell(workspace, *days, *({**click, **at(f"2026-02-1{n}")} for n, click in enumerate(clicks)))
    assert sentences(workspace) == ["No `view` event for 40 days; 3 came before."]


def test_a_sound_stream_has_no_findings(workspace: Workspace) -> None:
    tell(workspace, viewed("0017"), viewed("teapot-large"))
    report = diagnose(workspace)
    assert (report["events"], report["not landed yet"], report["findings"]) == (2, 2, [])


def test_without_events_or_a_catalogue_it_says_so(tmp_path: Path) -> None:
    empty = Workspace(tmp_path)
    assert sentences(empty) == ["There are no events."]
    tell(empty, viewed("p"))
    (told,) = sentences(empty)
    assert told.startswith("1 events name items, and there is no catalogue")


def test_what_was_exported_is_not_counted_again(workspace: Workspace) -> None:
    tell(workspace, viewed("0017"))
    assert diagnose(workspace)["not landed yet"] == 1
    export_journal(workspace)
    assert diagnose(workspace)["not landed yet"] == 0


def test_the_command_prints_sentences_or_json(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXTBEST_HOME", str(workspace.root))
    tell(workspace, viewed("42"))
    assert main(["doctor"]) == 0
    assert "nearest: 0042" in capsys.readouterr().out
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["findings"][0]["count"] == 1


@pytest.mark.parametrize(
    ("unknown", "meant"),
    [
        ("MUG_BLUE", "mug-blue"),
        ("17", "0017"),
        ("https://shop/p/mugblue", "mug-blue"),
        ("product_42", "0042"),
        ("teapot-lagre", "teapot-large"),
        ("x", None),
        ("!!!", None),
        ("entirely-different", None),
    ],
)
def test_the_nearest_id_forgets_case_signs_zeros_prefixes_and_a_letter_or_two(unknown: str, meant: str | None) -> None:
    assert nearest_ids([unknown], pa.array(CATALOGUE)).get(unknown) == meant


def test_letters_are_compared_like_levenshtein() -> None:
    known = pa.array(["abcdefgh", "abcdefxyh", "zzzzzzzz"])
    assert nearest_ids(["abcdexgh"], known) == {"abcdexgh": "abcdefgh"}  # 1 of 8 letters
    assert nearest_ids(["abxxxxgh"], known) == {}  # 4 of 8


@pytest.mark.slow
def test_the_mart_and_the_doctor_count_alike(landed_shop) -> None:
    """The same events through dbt and through the function for what is not landed yet."""
    workspace = landed_shop.workspace
    mart = pq.read_table(workspace.mart("event_health"))
    items = pq.read_table(workspace.mart("items"))["item_id"]
    unlisted = pq.read_table(workspace.mart("unlisted_items"))["item_id"]
    listed = items.filter(pc.invert(pc.is_in(items, value_set=unlisted)))
    counted = health_of(pq.read_table(workspace.mart("events")), listed.combine_chunks())
    assert add_up([mart]).equals(add_up([counted]))
    twice = add_up([mart, counted])
    assert pc.sum(twice["event_count"]).as_py() == 2 * pc.sum(mart["event_count"]).as_py() > 0
