"""Messages out of the house: every one arrives, signed, whatever the receiver answers and whenever the sender dies."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from orchestration.agents import open_agent, read_agent_decisions, run_agent
from orchestration.cli import main
from orchestration.deliveries import BATCH, Webhook, deliver, export_messages, signature_of
from recommender.agents.messages import SHAPES, messages_of
from recommender.errors import InputError
from recommender.workspace import Workspace
from services.journal import Journal
from services.segment import parse_messages
from tests.agents.home import SPRING, START_MS, agents_home
from tests.services.test_journal import CLOCK

SECRET = "what both know"
HOUR_MS = 3_600_000


@dataclass
class Receiver:
    """What a webhook's owner runs: checks each signature as it is documented, and keeps the keys it has taken.

    `answers` tells the status of the n-th request, before it is taken.
    """

    url: str = ""
    answers: Callable[[int], int] = lambda _: 200
    taken: dict[str, dict[str, object]] = field(default_factory=dict)
    requests: int = 0
    forged: int = 0


@contextmanager
def receiver(answers: Callable[[int], int] = lambda _: 200) -> Iterator[Receiver]:
    found, lock = Receiver(answers=answers), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with lock:
                found.requests += 1
                status = found.answers(found.requests)
            stamp = int(self.headers["X-Nextbest-Signature"].partition(",")[0].removeprefix("t="))
            if self.headers["X-Nextbest-Signature"] != signature_of(SECRET, stamp, body):
                found.forged += 1
                status = 401
            if status == 200:
                found.taken[self.headers["Idempotency-Key"]] = json.loads(body)
            self.send_response(status)
            if status == 429:
                self.send_header("Retry-After", "1")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_port}/messages"
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("NEXTBEST_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NEXTBEST_WEBHOOK_SECRET", SECRET)
    return agents_home(tmp_path / "home")


def decided(workspace: Workspace, at_ms: int = START_MS) -> set[str]:
    """Decide, and the keys of the messages that follow."""
    work = open_agent(workspace, "spring")
    records, _ = run_agent(workspace, work, at_ms)
    return set(messages_of(work.agent, records)["decision_id"].to_pylist())


def test_every_message_arrives_once_signed_and_as_it_was_decided(workspace: Workspace) -> None:
    keys, work = decided(workspace), open_agent(workspace, "spring")
    with receiver() as taker:
        webhook = Webhook(taker.url, SECRET)
        assert deliver(workspace, work, webhook, now_ms=lambda: START_MS) == {"delivered": len(keys)}
        assert deliver(workspace, work, webhook, now_ms=lambda: START_MS) == {"delivered": len(keys)}
    assert (set(taker.taken), taker.requests, taker.forged) == (keys, len(keys), 0)
    records = {row["decision_id"]: row for row in read_agent_decisions(workspace, "spring").to_pylist()}
    for key, body in taker.taken.items():
        row = records[key]
        assert (body["user_id"], body["action"]) == (row["user_id"], row["action"])
        assert body["send_at"] == row["send_at"].strftime("%Y-%m-%dT%H:%M:%SZ")


def test_what_fails_for_a_while_is_tried_again_and_a_refusal_is_kept(workspace: Workspace) -> None:
    keys, work = decided(workspace), open_agent(workspace, "spring")
    troubles = {1: 503, 2: 429, 3: 500, 4: 408, 5: 400}
    with receiver(lambda request: troubles.get(request, 200)) as taker:
        webhook = Webhook(taker.url, SECRET, first_wait_ms=10)
        told = deliver(workspace, work, webhook, wait_s=20, now_ms=clock_from(START_MS))
    assert told == {"delivered": len(keys) - 1, "refused": 1}
    assert taker.requests == len(keys) + 4
    assert len(taker.taken) == len(keys) - 1


def clock_from(start_ms: int) -> Callable[[], int]:
    begun = time.monotonic()
    return lambda: start_ms + round((time.monotonic() - begun) * 1000)


def test_a_receiver_that_is_away_finds_everything_waiting(workspace: Workspace) -> None:
    keys, work = decided(workspace), open_agent(workspace, "spring")
    nobody = Webhook("http://127.0.0.1:9/", SECRET, timeout_s=1)
    assert deliver(workspace, work, nobody, now_ms=lambda: START_MS) == {"held up": len(keys)}
    with receiver() as taker:
        later = deliver(workspace, work, Webhook(taker.url, SECRET), now_ms=lambda: START_MS + HOUR_MS)
    assert later == {"delivered": len(keys)}


def test_a_wrong_secret_costs_no_message(workspace: Workspace) -> None:
    keys, work = decided(workspace), open_agent(workspace, "spring")
    with receiver() as taker:
        wrong = deliver(workspace, work, Webhook(taker.url, "another one"), now_ms=lambda: START_MS)
        assert (wrong, taker.forged) == ({"held up": len(keys)}, len(keys))
        later = deliver(workspace, work, Webhook(taker.url, SECRET), now_ms=lambda: START_MS + HOUR_MS)
    assert (later, set(taker.taken)) == ({"delivered": len(keys)}, keys)


def test_what_is_too_late_is_given_up(workspace: Workspace) -> None:
    keys, work = decided(workspace), open_agent(workspace, "spring")
    nobody = Webhook("http://127.0.0.1:9/", SECRET, timeout_s=1)
    assert deliver(workspace, work, nobody, now_ms=lambda: START_MS) == {"held up": len(keys)}
    with receiver() as taker:
        night = START_MS + 23 * HOUR_MS  # the last window ends at 18:00 UTC
        assert deliver(workspace, work, Webhook(taker.url, SECRET), now_ms=lambda: night) == {"expired": len(keys)}
    assert taker.requests == 0


def test_messages_that_are_far_off_stay_in_the_house(workspace: Workspace) -> None:
    keys, work = decided(workspace), open_agent(workspace, "spring")
    with receiver() as taker:
        soon = Webhook(taker.url, SECRET, ahead_ms=HOUR_MS)
        assert deliver(workspace, work, soon, now_ms=lambda: START_MS) == {"waiting": len(keys)}
    assert taker.requests == 0


@pytest.mark.slow
def test_a_killed_sender_loses_nothing(workspace: Workspace) -> None:
    now_ms = time.time_ns() // 1_000_000
    keys = decided(workspace, now_ms)
    words = ["agent", "deliver", "spring", "--webhook"]
    killed = threading.Event()
    with receiver() as taker:
        sender = subprocess.Popen([sys.executable, "-c", RUN, *words, taker.url])
        taker.answers = lambda request: kill(sender, killed) if request == 40 else 200
        assert sender.wait(timeout=60) == -signal.SIGKILL
        assert killed.is_set()
        before = len(taker.taken)
        assert main([*words, taker.url]) == 0
    assert before < len(keys)
    assert set(taker.taken) == keys
    # At most the messages of one batch came twice.
    assert taker.requests <= len(keys) + BATCH


RUN = "import sys; from orchestration.cli import main; sys.exit(main(sys.argv[1:]))"


def kill(sender: subprocess.Popen[bytes], killed: threading.Event) -> int:
    os.kill(sender.pid, signal.SIGKILL)
    killed.set()
    return 503


def test_a_file_holds_what_is_to_be_sent_in_a_span(workspace: Workspace, tmp_path: Path) -> None:
    keys, work = decided(workspace), open_agent(workspace, "spring")
    noon = START_MS + 12 * HOUR_MS
    morning = export_messages(workspace, work, tmp_path / "a.parquet", None, noon)
    evening = export_messages(workspace, work, tmp_path / "b.csv", noon, None)
    assert morning + evening == len(keys)
    table = pq.read_table(tmp_path / "a.parquet")
    with (tmp_path / "b.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert set(table["decision_id"].to_pylist()) | {row["decision_id"] for row in rows} == keys
    assert min(row["send_at"] for row in rows) >= "2026-06-01 12:00"
    with pytest.raises(InputError, match=r"ends in \.parquet or \.csv"):
        export_messages(workspace, work, tmp_path / "a.xlsx", None, None)


def test_shapes_say_the_same_in_others_words(workspace: Workspace) -> None:
    mail = SPRING.replace("as age", "as age, user_id || '@example.org' as email")
    action = "{name: news, channel: email, template: '77', variables: {from: a@example.org, headline: New}}"
    (workspace.agents / "spring.yml").write_text(mail.replace("{name: news, channel: email}", action))
    decided(workspace)
    work = open_agent(workspace, "spring")
    messages = messages_of(work.agent, read_agent_decisions(workspace, "spring")).to_pylist()
    message = next(one for one in messages if one["action"] == "news")
    stamp = message["send_at"]
    braze, iterable, sendgrid = (SHAPES[name](message) for name in ("braze", "iterable", "sendgrid"))
    assert braze["recipients"][0]["external_user_id"] == message["user_id"]
    assert braze["schedule"] == {"time": stamp.strftime("%Y-%m-%dT%H:%M:%SZ")}
    assert (iterable["campaignId"], iterable["dataFields"]["headline"]) == (77, "New")
    assert sendgrid["personalizations"][0]["to"] == [{"email": f"{message['user_id']}@example.org"}]
    assert "send_id" not in braze  # Braze lets a workspace make 100 of them a day
    voucher = next(one for one in messages if one["action"] == "voucher")
    with pytest.raises(InputError, match="without the variable `from`"):
        SHAPES["sendgrid"](voucher)


def test_one_person_without_an_address_keeps_no_other_message_back(workspace: Workspace) -> None:
    mail = SPRING.replace("as age", "as age, case when user_id < 'u0150' then user_id || '@example.org' end as email")
    mail = mail.replace("channel: email", "channel: email, variables: {from: a@example.org}")
    (workspace.agents / "spring.yml").write_text(mail)
    decided(workspace)
    work = open_agent(workspace, "spring")
    people = messages_of(work.agent, read_agent_decisions(workspace, "spring"))["user_id"].to_pylist()
    reachable = sum(user_id < "u0150" for user_id in people)
    with receiver() as taker:
        webhook = Webhook(taker.url, SECRET, "sendgrid")
        told = deliver(workspace, work, webhook, now_ms=lambda: START_MS)
        assert deliver(workspace, work, webhook, now_ms=lambda: START_MS) == told
    assert told == {"delivered": reachable, "refused": len(people) - reachable}
    assert taker.requests == reachable


def said(workspace: Workspace, body: dict[str, object], at_ms: int) -> None:
    """One message that the service has taken."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()
    with closing(Journal(workspace.journal)) as journal:
        journal.append([parse_messages([{**body, "context": {"occurred_at": moment}}], None, CLOCK)])


def unsubscribed(user_id: str) -> dict[str, object]:
    return {"type": "track", "event": "Unsubscribed", "userId": user_id}


def test_a_consent_withdrawn_between_decision_and_delivery_holds(workspace: Workspace, tmp_path: Path) -> None:
    decided(workspace)
    work = open_agent(workspace, "spring")
    messages = messages_of(work.agent, read_agent_decisions(workspace, "spring"))
    first, second, third, elsewhere, back, *others = messages["user_id"].to_pylist()
    nobody = Webhook("http://127.0.0.1:9/", SECRET, timeout_s=1)
    said(workspace, unsubscribed(first), START_MS + 1)
    told = deliver(workspace, work, nobody, now_ms=lambda: START_MS)
    assert told == {"held up": len(messages) - 1, "withdrawn": 1}

    said(workspace, unsubscribed(second), START_MS + 2)
    said(workspace, {"type": "identify", "userId": third, "traits": {"consent_email": False}}, START_MS + 2)
    said(workspace, {**unsubscribed(elsewhere), "properties": {"channel": "push"}}, START_MS + 2)
    said(workspace, unsubscribed(back), START_MS + 2)
    said(workspace, {"type": "identify", "userId": back, "traits": {"consent_email": True}}, START_MS + 3)
    said(workspace, unsubscribed(others[0]), START_MS + 23 * HOUR_MS)  # because of the message
    exported = export_messages(workspace, work, tmp_path / "a.parquet", None, None)
    assert exported == len(messages) - 3
    with receiver() as taker:
        later = deliver(workspace, work, Webhook(taker.url, SECRET), now_ms=lambda: START_MS + HOUR_MS)
    assert later == {"delivered": len(messages) - 4, "withdrawn": 4}
    assert {one["user_id"] for one in taker.taken.values()} == {elsewhere, back, *others[1:]}


def test_who_has_just_bought_is_not_reminded(workspace: Workspace) -> None:
    """Of two messages to who bought at 08:00, one within 6 hours and one after them; the other action has no rule."""
    rule = SPRING.replace("{name: news, channel: email}", "{name: news, channel: email, stop_after: {purchase: 6}}")
    (workspace.agents / "spring.yml").write_text(rule)
    decided(workspace)
    work = open_agent(workspace, "spring")
    rows = messages_of(work.agent, read_agent_decisions(workspace, "spring")).to_pylist()
    for row in rows:
        order = {"order_id": row["user_id"], "products": [{"product_id": "i1"}]}
        bought = {"type": "track", "event": "Order Completed", "userId": row["user_id"], "properties": order}
        said(workspace, bought, START_MS + 6 * HOUR_MS)
    stopped = {row["user_id"] for row in rows if row["action"] == "news" and row["send_at"].hour < 6 + 6}
    assert 0 < len(stopped) < sum(row["action"] == "news" for row in rows)
    with receiver() as taker:
        webhook = Webhook(taker.url, SECRET)
        told = deliver(workspace, work, webhook, now_ms=lambda: START_MS + 6 * HOUR_MS + 1)
    assert told == {"delivered": len(rows) - len(stopped), "withdrawn": len(stopped)}
    assert stopped.isdisjoint(one["user_id"] for one in taker.taken.values())


def test_two_senders_at_once_send_everything_once(workspace: Workspace) -> None:
    keys, work = decided(workspace), open_agent(workspace, "spring")
    with receiver() as taker, ThreadPoolExecutor(2) as pool:
        webhook = Webhook(taker.url, SECRET)
        senders = [pool.submit(deliver, workspace, work, webhook, now_ms=lambda: START_MS) for _ in range(2)]
        assert [sender.result() for sender in senders] == [{"delivered": len(keys)}] * 2
    assert (set(taker.taken), taker.requests) == (keys, len(keys))


def test_what_needs_no_consent_is_not_kept_back(workspace: Workspace) -> None:
    (workspace.agents / "spring.yml").write_text(SPRING + "eligibility: {without_consent: [email]}\n")
    keys, work = decided(workspace), open_agent(workspace, "spring")
    user_id = messages_of(work.agent, read_agent_decisions(workspace, "spring"))["user_id"][0].as_py()
    said(workspace, unsubscribed(user_id), START_MS + 1)
    with receiver() as taker:
        told = deliver(workspace, work, Webhook(taker.url, SECRET), now_ms=lambda: START_MS)
    assert told == {"delivered": len(keys)}


def test_a_no_that_comes_while_the_receiver_is_slow_is_heard(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestration.deliveries.ASKED_EVERY_S", 0.0)
    keys, work = decided(workspace), open_agent(workspace, "spring")
    messages = messages_of(work.agent, read_agent_decisions(workspace, "spring"))
    last = messages["user_id"][len(messages) - 1].as_py()

    def answers(request: int) -> int:
        if request == 1:
            said(workspace, unsubscribed(last), START_MS + 1)
        return 200

    with receiver(answers) as taker:
        told = deliver(workspace, work, Webhook(taker.url, SECRET), now_ms=lambda: START_MS)
    assert told == {"delivered": len(keys) - 1, "withdrawn": 1}


def test_a_message_decided_long_before_is_handed_over_shortly_before_it_is_sent(workspace: Workspace) -> None:
    keys, work = decided(workspace), open_agent(workspace, "spring")
    with receiver() as taker:
        soon = Webhook(taker.url, SECRET, ahead_ms=2 * HOUR_MS)
        for hour in range(0, 24, 2):
            deliver(workspace, work, soon, now_ms=partial(int, START_MS + hour * HOUR_MS))
    assert set(taker.taken) == keys


@pytest.mark.parametrize(("url", "secret"), [("http://example.org/", SECRET), ("https://example.org/", "")])
def test_nothing_leaves_bare_or_unsigned(url: str, secret: str) -> None:
    with pytest.raises(InputError):
        Webhook(url, secret)
