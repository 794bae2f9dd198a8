"""The journal's decisions of agents: each once, none beyond what its decider saw, and out as canonical Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from recommender.agents.agent import NOTHING
from recommender.agents.record import AGENT_DECISION_SCHEMA
from recommender.workspace import Workspace
from services.agent_log import KNOWN, OVERTAKEN, STORED, online_sends, online_stock
from services.consent_log import said_consents
from services.journal import Journal, export_journal
from services.records import AgentDecision, Entry
from services.segment import parse_messages
from tests.services.test_journal import CLOCK, DAY

NOW = 1_780_272_000_000


def decided(decision_id: str, user_id: str = "u1", action: str = "news", seen: int = 0, **more: Any) -> Entry:
    is_sent = action != NOTHING
    row = dict.fromkeys(AGENT_DECISION_SCHEMA.names) | {
        "decision_id": decision_id,
        "agent": "spring",
        "user_id": user_id,
        "decided_at": NOW,
        "action": action,
        "channel": "email" if is_sent else None,
        "send_at": NOW if is_sent else None,
        "offered_actions": ["news"],
        "offered_propensities": [1 / 3],
        "propensity": 1 / 3,
        "template": "stays in the journal",
    }
    return Entry(agent_decision=AgentDecision(row, (user_id, *more.pop("aliases", ())), seen, **more))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture
def journal(workspace: Workspace) -> Journal:
    return Journal(workspace.journal)


def verdicts(journal: Journal, *entries: Entry) -> list[str]:
    return [receipt.agent_decision for receipt in journal.append(entries)]


def test_who_was_written_to_meanwhile_is_decided_for_again(journal: Journal) -> None:
    assert verdicts(journal, decided("a"), decided("b"), decided("c", "u2")) == [STORED, OVERTAKEN, STORED]
    told = journal.told_of("u1", NOW, "spring", ["news"])
    assert told.sends == ((NOW, "spring", "news", "email"),)
    assert told.taken == {"news": 2}
    assert verdicts(journal, decided("b", seen=told.latest_send)) == [STORED]
    assert journal.told_of("u1", NOW + 1, "spring", ()).sends == ()


def test_to_say_nothing_needs_no_turn_and_takes_nothing(journal: Journal, workspace: Workspace) -> None:
    assert verdicts(journal, decided("a"), decided("b", action=NOTHING)) == [STORED, STORED]
    assert online_stock(workspace, "spring") == {"news": 1}
    assert online_sends(workspace, NOW).num_rows == 1
    assert online_sends(workspace, NOW + 1).num_rows == 0


def test_a_decision_is_stored_once(journal: Journal) -> None:
    assert verdicts(journal, decided("a"), decided("a", action="other", seen=1)) == [STORED, KNOWN]
    stored = journal.agent_decision("a")
    assert stored is not None
    assert (stored["action"], stored["template"]) == ("news", "stays in the journal")
    assert journal.agent_decision("b") is None


def test_no_more_leave_than_are_in_stock(journal: Journal) -> None:
    entries = [decided(str(number), f"u{number}", in_stock=3) for number in range(5)]
    assert verdicts(journal, *entries) == [STORED] * 3 + [OVERTAKEN] * 2


def test_messages_to_an_anonymous_id_are_the_persons(journal: Journal, workspace: Workspace) -> None:
    assert verdicts(journal, decided("a", "anon:x")) == [STORED]
    journal.append([said({"type": "identify", "userId": "u1", "anonymousId": "x"})])
    told = journal.told_of("u1", NOW, "spring", ())
    assert (told.people, len(told.sends)) == (("u1", "anon:x"), 1)
    assert verdicts(journal, decided("b", aliases=("anon:x",))) == [OVERTAKEN]
    assert online_sends(workspace, 0)["user_id"].to_pylist() == ["u1"]


def test_decisions_leave_in_canonical_columns(journal: Journal, workspace: Workspace) -> None:
    verdicts(journal, decided("a"), decided("b", "u2", action=NOTHING))
    assert export_journal(workspace)["agent_decisions"] == 2
    table = pq.read_table(workspace.journal_agent_decisions)
    assert table.schema.equals(AGENT_DECISION_SCHEMA)
    assert table["offered_propensities"].to_pylist() == [[1 / 3]] * 2
    assert table["send_at"].cast("int64").to_pylist() == [NOW, None]


def said(body: dict[str, Any], day: str = DAY[0]) -> Entry:
    """One message, of its own, at a moment."""
    return parse_messages([{**body, "context": {"occurred_at": day}}], None, CLOCK)


def words(workspace: Workspace) -> dict[tuple[str, str], bool]:
    return {(row["user_id"], row["channel"]): row["is_given"] for row in said_consents(workspace).to_pylist()}


def test_the_last_word_on_a_channel_holds(journal: Journal, workspace: Workspace) -> None:
    assert words(workspace) == {}
    yes = {"type": "identify", "userId": "u1", "traits": {"consent_email": True, "consent_push": "yes", "plan": "a"}}
    off = {"type": "track", "event": "Unsubscribed", "userId": "u1"}
    late = {"type": "identify", "userId": "u1", "traits": {"consent_email": "true"}}
    journal.append([said(yes, DAY[1]), said(off, DAY[2]), said(late, DAY[0])])
    assert words(workspace) == {("u1", "email"): False, ("u1", "push"): True}
    journal.append([said({**off, "properties": {"channel": "push"}}, DAY[3])])
    assert words(workspace) == {("u1", "email"): False, ("u1", "push"): False}


def test_what_an_anonymous_id_said_is_the_persons_word(journal: Journal, workspace: Workspace) -> None:
    journal.append([said({"type": "identify", "userId": "u1", "traits": {"consent_email": True}}, DAY[0])])
    journal.append([said({"type": "track", "event": "Unsubscribed", "anonymousId": "x"}, DAY[1])])
    assert words(workspace) == {("u1", "email"): True, ("anon:x", "email"): False}
    journal.append([said({"type": "identify", "userId": "u1", "anonymousId": "x"}, DAY[2])])
    assert words(workspace) == {("u1", "email"): False}
    assert journal.told_of("u1", 0, "spring", ()).consents["is_given"].to_pylist() == [False]


def test_an_older_journal_is_asked_for_what_it_has_heard(journal: Journal, workspace: Workspace) -> None:
    journal.append([said({"type": "track", "event": "Unsubscribed", "userId": "u1"})])
    journal._connection.execute("drop table consents")
    journal.close()
    Journal(workspace.journal).close()
    assert words(workspace) == {("u1", "email"): False}
