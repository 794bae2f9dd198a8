"""Erasing in the journal: at once in what answers are made from, then in every byte of its files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from recommender.events import DAY_MS
from recommender.workspace import Workspace
from services.agent_log import taken_from_stock
from services.clock import Clock
from services.erasure import ask_erasures, close_erasures, erase_from_journal, erasures_under_way, status_of_erasures
from services.journal import Journal
from services.journal_archive import archive_journal
from services.journal_export import export_journal
from services.records import AgentDecision, Entry, Receipt
from services.segment import parse_messages

ANN, BOB, PHONE, MAIL = "ann-7c1d", "bob-9e2f", "phone-55aa", "ann@shop.example"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "home")


@pytest.fixture
def journal(workspace: Workspace) -> Iterator[Journal]:
    """Ann came by phone, said who she is, and was shown and sent something, as Bob was."""
    journal = Journal(workspace.journal)
    tell(journal, "Product Viewed", anonymousId=PHONE, properties={"product_id": "lamp"})
    tell(journal, "identify", userId=ANN, anonymousId=PHONE, traits={"email": MAIL, "consent_email": True})
    for who in (ANN, BOB):
        tell(journal, "Product Viewed", f"seen by {who}", userId=who, properties={"product_id": "vase"})
        tell(journal, "Product Clicked", userId=who)  # no product: a dead letter
        shown(journal, f"shown to {who}", who)
        sent(journal, f"sent to {who}", who)
    yield journal
    journal.close()


def tell(journal: Journal, event: str, message_id: str = "", **more: Any) -> Receipt:
    kind = {"type": "identify"} if event == "identify" else {"type": "track", "event": event}
    known = {"messageId": message_id} if message_id else {}
    (receipt,) = journal.append([parse_messages([{**kind, **known, **more}], None, Clock())])
    return receipt


def shown(journal: Journal, decision_id: str, user_id: str) -> None:
    row = {"decision_id": decision_id, "user_id": user_id, "decided_at": 1, "slate_features": b"\1"}
    journal.append([Entry(decision=row)])


def sent(journal: Journal, decision_id: str, user_id: str) -> None:
    row = {"decision_id": decision_id, "agent": "spring", "user_id": user_id, "decided_at": 1, "action": "news"}
    journal.append([Entry(agent_decision=AgentDecision({**row, "channel": "email", "send_at": 2}, (user_id,)))])


def erase(workspace: Workspace) -> dict[str, int]:
    pending = erasures_under_way(workspace)
    dropped = erase_from_journal(workspace, pending)
    assert close_erasures(workspace, pending) == len(pending)
    return dropped


def bytes_of(workspace: Workspace) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(workspace.journal.parent.iterdir()))


@pytest.mark.parametrize("known_as", [ANN, PHONE, f"anon:{PHONE}"])
def test_asking_by_any_id_takes_the_person_out_of_all_answers(workspace: Workspace, journal: Journal, known_as: str):
    ask_erasures(workspace, [known_as])
    assert journal.live_events([ANN], 0).events == ()
    assert journal.identified(PHONE) is None
    assert (journal.decision(f"shown to {ANN}"), journal.agent_decision(f"sent to {ANN}")) == (None, None)
    assert journal.told_of(ANN, 0, "spring", []).consents.num_rows == 0
    assert [journal.is_being_erased(who) for who in (ANN, f"anon:{PHONE}", BOB)] == [True, True, False]
    assert len(journal.live_events([BOB], 0).events) == 1
    assert journal.decision(f"shown to {BOB}") is not None


def test_then_no_byte_is_left_and_everybody_else_is_as_before(workspace: Workspace, journal: Journal):
    assert all(name.encode() in bytes_of(workspace) for name in (ANN, PHONE, MAIL, BOB))
    ask_erasures(workspace, [ANN])
    dropped = erase(workspace)
    assert dropped == {"decisions": 1, "agent decisions": 1, "messages as they arrived": 3, "dead letters": 1}
    held = bytes_of(workspace)
    assert [name.encode() in held for name in (ANN, PHONE, MAIL, BOB)] == [False, False, False, True]
    assert len(journal.live_events([BOB], 0).events) == 1
    assert journal.agent_decision(f"sent to {BOB}") is not None
    assert taken_from_stock(journal._connection, "spring", "news") == 2  # what was sent is gone from the stock
    (done,) = status_of_erasures(workspace).values()
    assert done["people"] == 2
    assert done["done_ms"] >= done["asked_ms"]
    export_journal(workspace)
    assert pq.read_metadata(workspace.journal_erased).num_rows == 2


def test_what_somebody_of_the_same_id_does_later_stays(workspace: Workspace, journal: Journal):
    ask_erasures(workspace, [ANN])
    tell(journal, "Product Viewed", userId=ANN, properties={"product_id": "chair"})
    shown(journal, "shown later", ANN)
    erase(workspace)
    assert [event.item_id for event in journal.live_events([ANN], 0).events] == ["chair"]
    assert journal.decision("shown later") is not None
    assert not journal.is_being_erased(ANN)


def test_asking_again_is_the_same_erasure_and_takes_along_what_came_since(workspace: Workspace, journal: Journal):
    first = ask_erasures(workspace, [ANN])
    begun = erasures_under_way(workspace)
    erase_from_journal(workspace, begun)
    tell(journal, "Product Viewed", userId=ANN, properties={"product_id": "chair"})
    later = Clock().now_ms() + 10
    while Clock().now_ms() < later:
        pass
    assert ask_erasures(workspace, [ANN]) == first
    assert close_erasures(workspace, begun) == 0  # what was begun does not cover it
    assert len(erasures_under_way(workspace)) == 1
    erase(workspace)
    assert ANN.encode() not in bytes_of(workspace)


def test_the_archive_is_cleared_too(workspace: Workspace, journal: Journal):
    archive_journal(workspace, -1.0, Clock().now_ms() + DAY_MS)
    assert ANN.encode() in workspace.journal_archive.read_bytes()
    ask_erasures(workspace, [ANN])
    dropped = erase(workspace)
    assert (dropped["archived events"], dropped["archived decisions"]) == (3, 1)
    assert ANN.encode() not in bytes_of(workspace)
    assert export_journal(workspace)["events"] == 1


def test_a_closing_that_was_cut_short_is_taken_up(workspace: Workspace, journal: Journal):
    """Killed after the ids were forgotten and before the files were written anew."""
    ask_erasures(workspace, [ANN])
    erase_from_journal(workspace, erasures_under_way(workspace))
    journal._connection.execute("delete from erasing")
    assert [one.people for one in erasures_under_way(workspace)] == [()]
    assert close_erasures(workspace, erasures_under_way(workspace)) == 1
    assert ANN.encode() not in bytes_of(workspace)


def test_a_device_of_two_people_goes_with_whoever_signed_in_last(workspace: Workspace, journal: Journal):
    tell(journal, "identify", userId=BOB, anonymousId=PHONE)
    ask_erasures(workspace, [ANN])
    erase(workspace)
    assert journal.identified(PHONE) == BOB


def test_a_message_id_that_names_its_person_goes_and_others_go_on_counting_once(workspace: Workspace, journal: Journal):
    tell(journal, "Product Viewed", "plain", userId=ANN, properties={"product_id": "vase"})
    ask_erasures(workspace, [ANN])
    erase(workspace)
    assert tell(journal, "Product Viewed", "plain", userId=ANN, properties={"product_id": "vase"}).duplicates == 1
    assert f"seen by {ANN}".encode() not in bytes_of(workspace)
