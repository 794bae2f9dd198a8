"""People erased: no byte of them in any file of the home nor in a column of Parquet, and everybody else as before."""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from fault_size import size
from served_shop import LandedShop, ServedShop, build_marts, copy_shop

from feature_repo.offline import materialise_users
from orchestration.agent_outcomes import write_outcomes
from orchestration.agents import open_agent, run_agent
from orchestration.erasures import erase_people, status_told
from orchestration.tables import read_as_of_ms
from recommender.events import DAY_MS
from recommender.workspace import Workspace
from services.erasure import ask_erasures
from services.journal import export_journal

# What marks whoever is erased: in user ids, anonymous ids and e-mail addresses alike.
MARK = "Zq7Gone"
SPRING = """\
audience: select * from users
goal: {outcomes: {purchase: 1}, window_days: 2}
actions: [{name: news, channel: email, inventory: 100000}]
timing: {windows: [{at: "00:00-24:00"}], quiet: null}
frequency: {caps: [{limit: 9, per: day}]}
exploration: 1
"""
BATCH = 50  # people
# Where people who did all that are found: what has to be cleared at the least.
WHERE = (
    "journal/journal.db", "landing/journal/events.parquet", "landing/journal/decisions.parquet", "features/online.db",
    "warehouse/nextbest.duckdb", "marts/events.parquet", "marts/users.parquet", "marts/user_states.parquet",
    "marts/decisions.parquet", "marts/dead_letters.parquet", "agents/spring/audience.arrow",
    "agents/spring/outcomes.parquet",
)  # fmt: skip


@dataclass(frozen=True)
class Lived:
    """A served shop with people who did everything that leaves a trace; `shown` are their decisions."""

    served: ServedShop
    gone: list[str]
    stay: list[str]
    shown: dict[str, str]

    @property
    def workspace(self) -> Workspace:
        return self.served.shop.workspace


@pytest.fixture
def lived(landed_shop: LandedShop, tmp_path: Path, serve: Any) -> Lived:
    """As many people again stay, who did the same."""
    count = size(4, 1_000)
    shop = copy_shop(landed_shop, tmp_path / "home", with_store=True)
    workspace = shop.workspace
    workspace.agents.mkdir(exist_ok=True)
    (workspace.agents / "spring.yml").write_text(SPRING)
    served = serve(shop)
    gone, stay = ([f"{mark}-{number:05}" for number in range(count)] for mark in (MARK, "Stays"))
    people = [*gone, *stay]
    for start in range(0, len(people), BATCH):
        messages = [one for who in people[start : start + BATCH] for one in deeds(who, shop.item_ids)]
        assert served.post("batch", {"batch": messages}).json()["rejected"] != []
    shown = {who: recommended(served, who) for who in people}
    export_journal(workspace)
    build_marts(workspace, landed_shop.workspace.root.parent / "tables")
    as_of_ms = read_as_of_ms(workspace)
    materialise_users(workspace, as_of_ms, rewind=True)
    work = open_agent(workspace, "spring")
    records, _ = run_agent(workspace, work, as_of_ms - 3 * DAY_MS)
    assert set(people) <= set(records["user_id"].to_pylist())
    write_outcomes(workspace, work, as_of_ms)
    until = time.monotonic() + 20
    while decide(served, gone[0])["reason"] in ("no run so far", "not in audience"):
        assert time.monotonic() < until
        time.sleep(0.1)
    return Lived(served, gone, stay, shown)


def deeds(who: str, items: tuple[str, ...]) -> list[dict[str, Any]]:
    """A visit before and after saying who one is, an order, and a message that cannot be read."""
    anonymous, item = f"{who}-phone", items[hash(who) % len(items)]
    viewed = {"type": "track", "event": "Product Viewed", "properties": {"product_id": item}}
    order = {"order_id": who, "products": [{"product_id": item, "quantity": 1, "price": 5}]}
    traits = {"email": f"{who}@shop.example", "consent_email": True}
    return [
        {**viewed, "anonymousId": anonymous},
        {"type": "identify", "userId": who, "anonymousId": anonymous, "traits": traits},
        {**viewed, "userId": who, "messageId": f"first of {who}"},
        {"type": "track", "event": "Order Completed", "userId": who, "properties": order},
        {"type": "track", "event": "Product Clicked", "userId": who},
    ]


def recommended(served: ServedShop, who: str) -> str:
    return str(served.post("recommend", {"user_id": who, "k": 3}).json()["decision_id"])


def decide(served: ServedShop, who: str) -> dict[str, Any]:
    return dict(served.post("decide", {"agent": "spring", "user_id": who}).json())


def traces(root: Path) -> list[str]:
    """Files that hold the mark, as they lie there or in a column."""
    found = []
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink():
            held = [path.read_bytes()]
            if path.suffix == ".parquet":
                held.append(as_bytes(pq.read_table(path)))
            if any(MARK.encode() in one for one in held):
                found.append(str(path.relative_to(root)))
    return found


def as_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def others(root: Path) -> dict[str, pa.Table]:
    """What tables say of everybody else."""
    tables = {}
    for path in sorted(root.rglob("*.parquet")):
        names = pq.read_schema(path).names
        if "user_id" in names:
            table = pq.read_table(path)
            theirs = pc.match_substring(pc.fill_null(table["user_id"].cast(pa.string()), ""), MARK)
            tables[str(path.relative_to(root))] = table.filter(pc.invert(theirs))
    return tables


def test_not_a_byte_is_left_of_people_who_were_erased(lived: Lived, landed_shop: LandedShop) -> None:
    served, workspace, http = lived.served, lived.workspace, lived.served.http
    named = [path.removesuffix("-wal") for path in traces(workspace.root)]
    assert set(WHERE) <= set(named)
    export_journal(workspace)  # the decision of the agent that was asked for until it knew the people
    before = others(workspace.root)

    started = time.monotonic()
    answers = [http.delete(f"/v1/users/{who}") for who in lived.gone]
    print(f"\n{len(answers):,} people asked for in {time.monotonic() - started:.1f} s")
    assert {answer.status_code for answer in answers} == {202}
    for who in lived.gone[:4]:  # whichever worker is asked
        for _ in range(4):
            assert http.get(f"/v1/decisions/{lived.shown[who]}").status_code == 404
            assert (decide(served, who)["action"], decide(served, who)["reason"]) == ("nothing", "erased")
            record = http.get(f"/v1/decisions/{recommended(served, who)}").json()
            assert (record["state_as_of"], record["journal_seq"]) == (None, 0)
    assert [http.delete(f"/v1/users/{who}-phone").status_code for who in lived.gone[:4]] == [202] * 4
    ask_erasures(workspace, lived.gone[:4])  # who was asked about, was there again

    started = time.monotonic()
    print(erase_people(workspace, print), f"in {time.monotonic() - started:.1f} s")

    assert traces(workspace.root) == []
    assert {one["state"] for one in status_told(workspace)} == {"done"}
    assert http.get(f"/v1/erasures/{answers[0].json()['erasure_id']}").json()["state"] == "done"
    after = others(workspace.root)
    assert {name: after[name].num_rows for name in before} == {name: table.num_rows for name, table in before.items()}
    assert all(after[name].equals(table) for name, table in before.items())
    assert [http.get(f"/v1/decisions/{lived.shown[who]}").status_code for who in lived.stay[:4]] == [200] * 4
    assert decide(served, lived.stay[0])["reason"] != "erased"
    assert decide(served, lived.gone[0])["reason"] == "not in audience"
    if size(False, True):
        shutil.rmtree(workspace.marts)
        shutil.rmtree(workspace.dbt_target)
        shutil.rmtree(workspace.warehouse.parent)
        build_marts(workspace, landed_shop.workspace.root.parent / "tables")
        assert [path for path in traces(workspace.root) if not re.match("journal|landing", path)] == []
