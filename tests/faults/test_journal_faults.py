"""What was acknowledged is on disk once: under kill -9, under triple delivery, and among thirty kinds of bad event.

The sizes of TARGETS, part 5, are the whole ones.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from functools import partial
from typing import Any

import pyarrow.parquet as pq
from bad_events import BAD_EVENTS, bad_event
from fault_size import size
from journal_load import Tellers, click, tell_until_stored
from served_shop import free_port

from recommender.workspace import Workspace
from services.dead_letters import list_letters, replay_letters
from services.journal import export_journal
from services.server import start_background


def landed(workspace: Workspace) -> Counter[str]:
    """How often each event id is in what dbt reads."""
    export_journal(workspace)
    return Counter(pq.read_table(workspace.journal_events, columns=["event_id"])["event_id"].to_pylist())


def test_kill_9_under_load_loses_nothing_that_was_acknowledged(own_shop):
    kills = size(1, 100)
    chance, port = random.Random(7), free_port()
    acknowledged, unanswered = [], []
    for number in range(kills):
        server = start_background(own_shop.workspace, port)
        try:
            server.wait_ready()
            tell_until_stored(f"http://127.0.0.1:{port}", unanswered, 500)  # what a client kept, it sends again
            acknowledged += unanswered
            tellers = Tellers(f"kill{number}", server.url)
            tellers.start()
            time.sleep(chance.uniform(0.3, 1.0))
        finally:
            server.kill()
            server.stop(0)
        tellers.stop()
        acknowledged += tellers.acknowledged
        unanswered = tellers.unanswered
    found = landed(own_shop.workspace)
    assert len(acknowledged) > 100 * kills
    assert [message_id for message_id in acknowledged if found[message_id] != 1] == []
    assert max(found.values()) == 1
    print(f"{kills} kills: {len(acknowledged):,} events acknowledged, 0 lost, 0 twice")


def test_what_is_sent_three_times_in_any_order_with_restarts_is_landed_once(own_shop):
    count, restarts = size(2_000, 100_000), size(1, 5)
    ids = [f"triple-{n}" for n in range(count)]
    sent = ids * 3
    random.Random(7).shuffle(sent)
    port = free_port()
    server = start_background(own_shop.workspace, port)
    tell = partial(tell_until_stored, f"http://127.0.0.1:{port}")
    lanes = [threading.Thread(target=tell, args=(sent[lane::4], 500)) for lane in range(4)]
    try:
        server.wait_ready()
        for lane in lanes:
            lane.start()
        for number in range(restarts):
            time.sleep(size(0.3, 4.0))
            server.kill() if number % 2 == 0 else server.stop()
            server.stop(0)
            server = start_background(own_shop.workspace, port)
            server.wait_ready()
        for lane in lanes:
            lane.join()
    finally:
        server.stop()
    found = landed(own_shop.workspace)
    assert (set(found), set(found.values())) == (set(ids), {1})
    print(f"{len(sent):,} deliveries with {restarts} restarts: {len(found):,} landed, each once")


def test_every_good_event_is_stored_and_every_bad_one_waits_with_its_reason(served):
    """Each kind is a tenth of a batch of its own (a hundredth, if it is large): no kind hides behind another."""
    workspace, count = served.shop.workspace, size(200, 10_000)
    started = {letter.letter_id for letter in list_letters(workspace, 10**6)}
    good: list[str] = []
    bad: dict[str, dict[str, Any]] = {}  # as JSON → what it should have been
    for kind, (_, words) in BAD_EVENTS.items():
        messages, share = [], 100 if kind == "larger than allowed" else 10
        for n in range(count):
            message_id = f"{kind}-{n}"
            messages.append(bad_event(kind, message_id) if n % share == 3 else click(message_id))
            if n % share == 3:
                read = json.loads(json.dumps(messages[-1]), parse_constant=str)
                bad[json.dumps(read, sort_keys=True)] = click(message_id)
            else:
                good.append(message_id)
        body = json.dumps({"batch": messages}).encode()
        answer = served.http.post("/v1/batch", content=body, headers={"content-type": "application/json"}, timeout=60)
        assert answer.status_code == 200, answer.text[:300]
        assert answer.json()["stored"] == count - count // share, kind
        assert all(words in reason for reason in answer.json()["rejected"]), (kind, answer.json()["rejected"][:1])
        assert len(answer.json()["rejected"]) == count // share
    found = landed(workspace)
    assert [message_id for message_id in good if found[message_id] != 1] == []
    letters = {
        json.dumps(json.loads(letter.raw), sort_keys=True): letter
        for letter in list_letters(workspace, 10**6)
        if letter.letter_id not in started
    }
    assert set(letters) == set(bad)
    assert all(letter.reason for letter in letters.values())
    _all_can_be_replayed(workspace, {letters[text].letter_id: right for text, right in bad.items()})
    told = f"{len(good):,} stored, {len(bad):,} dead letters, all replayed"
    print(f"{len(BAD_EVENTS)} kinds in batches of {count:,}: {told}")


def _all_can_be_replayed(workspace: Workspace, corrected: dict[int, Any]) -> None:
    """As they are they fail once more and stay; corrected they are stored, once however often that is done."""
    assert replay_letters(workspace, {}).stored == 0
    report = replay_letters(workspace, corrected)
    assert (report.stored, report.duplicates, report.failed) == (len(corrected), 0, {})
    assert replay_letters(workspace, corrected).stored == 0
    found = landed(workspace)
    assert [right["messageId"] for right in corrected.values() if found[right["messageId"]] != 1] == []
