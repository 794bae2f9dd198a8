"""One person at a time: the published audience, the turns, the context, and what is learnt from such decisions."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from recommender.agents.agent import NOTHING
from recommender.agents.agent_model import COLD
from recommender.agents.attribution import sending_log
from recommender.agents.audience import Audience
from recommender.agents.consents import SAID_CONSENT_SCHEMA, with_consents
from recommender.agents.deciding import Run, decide_for
from recommender.agents.in_the_moment import decide_in_the_moment, nothing_in_the_moment, with_context
from recommender.agents.published_audience import PublishedAudience, publish_audience
from recommender.agents.record import AGENT_DECISION_SCHEMA
from recommender.agents.run_files import moment_of_file, name_of_run
from recommender.agents.sends import SEND_SCHEMA, Sends
from recommender.agents.turns import Turns, alone
from recommender.errors import IntegrityError, RequestError
from tests.agents.mailing import AGENT, START_MS, Mailing

RUN = Run(START_MS, "v1")


def unsent(audience: Audience) -> Sends:
    return Sends.of(SEND_SCHEMA.empty_table(), audience)


def at_rest(records: list[dict[str, Any]]) -> pa.Table:
    """Rows as the landed file has them."""
    times = {field.name for field in AGENT_DECISION_SCHEMA if pa.types.is_timestamp(field.type)}
    columns = {
        field.name: pa.array([row[field.name] for row in records], pa.int64() if field.name in times else field.type)
        for field in AGENT_DECISION_SCHEMA
    }
    return pa.table(columns).cast(AGENT_DECISION_SCHEMA)


def test_everybody_is_found_in_a_published_audience_and_nobody_else(tmp_path: Path) -> None:
    audience = Mailing(500).audience()
    path = tmp_path / "spring" / "audience.arrow"
    assert PublishedAudience.open(path) is None
    publish_audience(path, audience, START_MS, START_MS - 1)
    opened = PublishedAudience.open(path)
    assert opened is not None
    assert (len(opened), opened.decided_ms, opened.known_until_ms) == (500, START_MS, START_MS - 1)
    for place, user_id in enumerate(audience.user_ids):
        found = opened.person(user_id)
        assert found is not None
        assert found.table.to_pylist() == audience.table.slice(place, 1).to_pylist()
    assert [opened.person(name) for name in ("", "a", "u000250x", "zz", "ü")] == [None] * 5


def test_what_is_open_stays_when_another_takes_its_place(tmp_path: Path) -> None:
    path = tmp_path / "audience.arrow"
    publish_audience(path, Mailing(20).audience(), START_MS, START_MS)
    before = PublishedAudience.open(path)
    publish_audience(path, Mailing(10).audience(), START_MS + 1, START_MS)
    after = PublishedAudience.open(path)
    assert before is not None
    assert after is not None
    assert (before.person("u000015") is None, after.person("u000015") is None) == (False, True)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(IntegrityError, match="Run the agent again"):
        PublishedAudience.open(path)


def test_who_decides_alone_waits_for_others_and_keeps_them_out(tmp_path: Path) -> None:
    here, there = Turns(tmp_path), Turns(tmp_path)
    assert (here.take(), here.take(), there.take()) == (0, 0, 0)
    inside, leave = threading.Event(), threading.Event()

    def run() -> None:
        with alone(tmp_path):
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=run)
    thread.start()
    here.give_back()
    there.give_back()
    assert not inside.wait(0.05)  # one is still held
    while there.take() is not None:  # whoever waits to be alone goes before those who come later
        there.give_back()
    here.give_back()
    assert inside.wait(10)
    assert here.take() is None
    leave.set()
    thread.join()
    assert here.take() == 1
    for turns in (here, there):
        turns.close()


def test_one_person_is_decided_on_as_in_a_run() -> None:
    """The same draws as a run with the same salt, whoever else is there."""
    audience = Mailing(200).audience()
    whole = decide_for(AGENT, audience, unsent(audience), replace(RUN, salt=":d")).to_pylist()
    for place in (0, 7, 199):
        one = Audience(audience.table.slice(place, 1))
        row = decide_in_the_moment(AGENT, one, unsent(one), RUN, "d", COLD)
        same = [name for name in AGENT_DECISION_SCHEMA.names if name not in ("decision_id", "decided_at", "send_at")]
        assert {name: row[name] for name in same} == {name: whole[place][name] for name in same}
        assert (row["decision_id"], row["decided_at"]) == ("d", START_MS)


def test_nothing_is_a_whole_record_from_which_nobody_learns() -> None:
    row = nothing_in_the_moment(AGENT, "u1", RUN, "d", COLD, "not in audience")
    assert (row["action"], row["propensity"], row["send_share"]) == (NOTHING, 1.0, None)
    assert sending_log(at_rest([row] * 3), np.zeros(3)) is None


def test_the_context_takes_the_place_of_columns_and_adds_what_is_known() -> None:
    one = Audience(Mailing(1).audience().table)
    told = with_context(one, {"age": 33, "town": None, "cart": 1.5, "page": {"url": "/"}}, frozenset({"cart"}))
    (row,) = told.table.to_pylist()
    assert (row["age"], row["town"], row["cart"], "page" in row) == (33, None, 1.5, False)
    assert told.table.schema.field("age").type == one.table.schema.field("age").type
    for context in ({"age": "many"}, {"age": [1]}, {"user_id": "u2"}, {"consent_email": True}, {"timezone": "UTC"}):
        with pytest.raises(RequestError, match=next(iter(context))):
            with_context(one, MappingProxyType(context), frozenset())


def test_a_no_holds_and_a_yes_counts_if_it_is_younger_than_the_data() -> None:
    audience = Mailing(4).audience()
    refused = Audience(audience.table.set_column(2, "consent_email", pa.array([True, True, False, False])))
    ids, at = refused.user_ids, pa.array([START_MS - 1, START_MS, START_MS - 1, START_MS]).cast(pa.timestamp("ms"))
    said = pa.table([ids, ["email"] * 4, [False, False, True, True], at], SAID_CONSENT_SCHEMA.names)
    assert with_consents(AGENT, refused, said, START_MS).consents("email").tolist() == [False, False, False, True]
    assert with_consents(AGENT, refused, said.slice(0, 0), START_MS) is refused


def test_arms_of_single_decisions_are_read_as_one_experiment() -> None:
    """Each at a moment of its own: holdout 0.2, agent 0.8, so a message has the propensity 0.8 and nothing 0.2."""
    audience = Mailing(400).audience()
    rows = []
    for place, user_id in enumerate(audience.user_ids):
        one = Audience(audience.table.slice(place, 1))
        rows.append(
            decide_in_the_moment(AGENT, one, unsent(one), replace(RUN, decided_ms=START_MS + place), user_id, COLD)
        )
    log = sending_log(at_rest(rows), np.zeros(len(rows)))
    assert log is not None
    assert np.allclose(log.propensity, np.where(log.action == 1, 0.8, 0.2))


def test_files_of_runs_are_called_by_their_moment() -> None:
    assert name_of_run(START_MS + 7) == "20260601T000000007Z.parquet"
    assert moment_of_file(Path("x") / name_of_run(START_MS + 7)) == START_MS + 7
