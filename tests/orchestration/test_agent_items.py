"""A run of an agent whose mails hold items: found by the champion, described by the catalogue, never out of stock."""

from __future__ import annotations

import csv
import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from orchestration.agents import open_agent, read_agent_decisions
from orchestration.cli import main
from recommender.agents.messages import SHAPES, messages_of
from recommender.agents.record import AGENT_DECISION_SCHEMA
from recommender.agents.slots import SLOT_SCHEMA
from recommender.workspace import Workspace
from services.catalogue_rows import read_row
from services.journal import Journal
from services.records import CatalogueRow, Entry

if TYPE_CHECKING:
    from served_shop import LandedShop

pytestmark = pytest.mark.slow  # the fitted shop takes 20 s, once a session

PICKS = """\
audience: select user_id, true as consent_email, 'Europe/Berlin' as timezone from users
goal: {outcomes: {purchase: 1}}
actions:
  - {name: picks, channel: email, placement: email, slots: 3, variables: {headline: For you}}
shares: {holdout: 0.1}
"""


@pytest.fixture
def workspace(landed_shop: LandedShop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The landed shop's marts and models under a home with agents and a journal of its own."""
    home = Workspace(tmp_path / "home")
    home.agents.mkdir(parents=True)
    shop = landed_shop.workspace
    for folder in (shop.marts, shop.models, shop.bento_home):
        (home.root / folder.relative_to(shop.root)).symlink_to(folder)
    (home.agents / "picks.yml").write_text(PICKS)
    monkeypatch.setenv("NEXTBEST_HOME", str(home.root))
    return home


def shown_items(workspace: Workspace) -> set[str]:
    return set(pc.list_flatten(read_agent_decisions(workspace, "picks")["item_ids"]).to_pylist())


def test_every_mail_holds_items_that_are_told_with_title_and_price(
    workspace: Workspace, landed_shop: LandedShop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["agent", "run", "picks", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["with items"] == {"email": told["messages"]}
    assert sum(told["items from"].values()) == 3 * told["messages"] > 0
    assert main(["agent", "export", "picks", "--out", str(tmp_path / "mails.csv")]) == 0
    with (tmp_path / "mails.csv").open() as handle:
        mails = list(csv.DictReader(handle))
    assert len(mails) == told["messages"]
    catalogue = {row["item_id"]: row for row in pq.read_table(workspace.mart("items")).to_pylist()}
    for mail in mails:
        items = json.loads(mail["items"])
        assert [item["item_id"] for item in items] == json.loads(mail["item_ids"])
        for item in items:
            known = catalogue[item["item_id"]]
            assert (item["title"], item["brand"]) == (known["title"], known["brand"])
            assert item["price"] == known["price_micros"] / 1e6
    messages = messages_of(open_agent(workspace, "picks").agent, read_agent_decisions(workspace, "picks")).to_pylist()
    data = SHAPES["iterable"](messages[0])["dataFields"]
    assert data["headline"] == "For you"
    assert [item["item_id"] for item in data["items"]] == messages[0]["item_ids"]


def test_what_the_service_was_told_is_gone_fills_no_slot_and_a_price_told_later_is_sent(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["agent", "dry-run", "picks"]) == 0
    assert main(["agent", "run", "picks"]) == 0
    before = pc.value_counts(pc.list_flatten(read_agent_decisions(workspace, "picks")["item_ids"])).to_pylist()
    favourite, second = (one["values"] for one in sorted(before, key=lambda one: -one["counts"])[:2])
    for path in workspace.agent_decisions("picks").glob("*.parquet"):
        path.unlink()
    tell(workspace, {"item_id": favourite, "available": False}, {"item_id": second, "price": 4.5})
    assert main(["agent", "run", "picks"]) == 0
    assert favourite not in shown_items(workspace)
    assert second in shown_items(workspace)
    assert main(["agent", "export", "picks", "--out", str(tmp_path / "mails.parquet")]) == 0
    texts = pq.read_table(tmp_path / "mails.parquet")["items"].to_pylist()
    told = [item for text in texts for item in json.loads(text) if item["item_id"] == second]
    assert {item["price"] for item in told} == {4.5}


def test_what_left_the_shop_after_the_champion_was_trained_fills_no_slot(
    workspace: Workspace, landed_shop: LandedShop
) -> None:
    assert main(["agent", "run", "picks"]) == 0
    gone = sorted(shown_items(workspace))[::2]
    states = pq.read_table(workspace.mart("item_states"))
    left = pc.and_(pc.is_in(states["item_id"], value_set=pa.array(gone)), states["is_available"].cast(pa.bool_()))
    available = pc.if_else(left, pa.scalar(0, states["is_available"].type), states["is_available"])
    place = states.schema.get_field_index("is_available")
    own_marts(workspace, landed_shop, {"item_states": states.set_column(place, "is_available", available)})
    for path in workspace.agent_decisions("picks").glob("*.parquet"):
        path.unlink()
    # One of them is back, as the service was told since.
    tell(workspace, {"item_id": gone[0], "available": True})
    assert main(["agent", "run", "picks"]) == 0
    assert not shown_items(workspace) & set(gone[1:])


def own_marts(workspace: Workspace, shop: LandedShop, changed: dict[str, pa.Table]) -> None:
    """The shop's marts with some in other words."""
    workspace.marts.unlink()
    workspace.marts.mkdir()
    for path in shop.workspace.marts.glob("*.parquet"):
        if path.stem not in changed:
            (workspace.marts / path.name).symlink_to(path)
    for name, table in changed.items():
        pq.write_table(table, workspace.mart(name))


def tell(workspace: Workspace, *bodies: dict[str, object]) -> None:
    with closing(Journal(workspace.journal)) as journal:
        journal.append([Entry(items=tuple(CatalogueRow(*read_row(body), 1_900_000_000_000) for body in bodies))])


def test_without_a_champion_nobody_is_sent_items_and_check_says_so(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    (workspace.root / "models").unlink()
    assert main(["agent", "check", "--json"]) == 0
    (report,) = json.loads(capsys.readouterr().out)["agents"]
    assert report["warnings"] == ["there is no champion to fill slots: actions with slots are given to nobody"]
    assert main(["agent", "run", "picks", "--json"]) == 0
    found = capsys.readouterr()
    assert json.loads(found.out)["why nothing"].keys() == {"holdout", "no items"}
    assert "no champion" in found.err


def test_check_names_placements_that_cannot_fill(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = PICKS.replace("placement: email", "placement: emial")
    for name, text in (("a", wrong), ("b", wrong.replace("emial", "category")), ("c", wrong.replace("emial", "cart"))):
        (workspace.agents / f"{name}.yml").write_text(text)
    assert main(["agent", "check", "--json"]) == 0
    reports = {one["agent"]: one["warnings"] for one in json.loads(capsys.readouterr().out)["agents"]}
    fills = "action picks is filled by the placement"
    assert reports == {
        "a": [f"{fills} emial, which is not there; did you mean email?"],
        "b": [f"{fills} category, which needs filter: it is given to nobody"],
        "c": [],
        "picks": [],
    }


def test_records_of_a_version_without_items_are_read_beside_the_new(workspace: Workspace) -> None:
    assert main(["agent", "run", "picks"]) == 0
    (path,) = workspace.agent_decisions("picks").glob("*.parquet")
    earlier = pq.read_table(path).drop_columns([*SLOT_SCHEMA.names, "item_propensity"])
    pq.write_table(earlier, path.with_name("20200101T000000000Z.parquet"))
    records = read_agent_decisions(workspace, "picks")
    assert records.schema == AGENT_DECISION_SCHEMA
    old = records.slice(0, len(earlier))
    assert old["item_propensity"].to_pylist() == [1.0] * len(earlier)
    assert old["item_ids"].null_count == len(earlier)
    assert read_agent_decisions(workspace, "picks", ["action", "item_propensity"]).num_rows == 2 * len(earlier)
