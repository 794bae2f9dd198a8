"""The service's processes: killed, swapped, refused to start, ended for certain."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import psutil
import pyarrow.parquet as pq
import pytest
from served_shop import free_port

from recommender.errors import IntegrityError, NoChampionError, NotReadyError
from recommender.workspace import Workspace
from services.journal import export_journal
from services.model_store import aliases, bundle_folder, publish, set_alias, versions
from services.server import start_background

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).resolve().parents[2]


def test_no_acknowledged_event_is_lost_or_doubled_when_everything_is_killed(own_shop, serve):
    """kill -9 of the supervisor and of both workers under write load."""
    served = serve(own_shop)
    acknowledged: set[str] = set()
    stop = threading.Event()
    senders = [threading.Thread(target=_send, args=(served.server.url, acknowledged, stop)) for _ in range(4)]
    for sender in senders:
        sender.start()
    _until(lambda: len(acknowledged) >= 1_000)
    assert len(served.server.processes()) == 3
    served.server.kill()
    stop.set()
    for sender in senders:
        sender.join()
    export_journal(own_shop.workspace)
    stored = pq.read_table(own_shop.workspace.journal_events)["event_id"].to_pylist()
    assert acknowledged - set(stored) == set()
    assert len(stored) == len(set(stored))


def _send(url: str, acknowledged: set[str], stop: threading.Event) -> None:
    """Batches of five; each is sent twice, as a client does that lost the answer."""
    with httpx.Client(base_url=url, timeout=5) as http:
        while not stop.is_set():
            ids = [uuid.uuid4().hex for _ in range(5)]
            batch = [{"type": "track", "event": "Open", "userId": "u", "messageId": message_id} for message_id in ids]
            with contextlib.suppress(httpx.HTTPError):
                for _ in range(2):
                    if http.post("/v1/batch", json={"batch": batch}).status_code == 200:
                        acknowledged.update(ids)


def test_a_new_champion_is_picked_up_without_a_failed_request_and_a_broken_one_is_not(own_shop, serve):
    served = serve(own_shop)
    seen: list[tuple[int, str]] = []
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=served.server.url, timeout=20) as http:
            while not stop.is_set():
                answer = http.post("/v1/recommend", json={"user_id": own_shop.user_ids[0]})
                seen.append((answer.status_code, answer.json().get("model_version", "")))

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    second = publish(own_shop.workspace, own_shop.other_bundle)
    assert second != own_shop.champion
    set_alias(own_shop.workspace, "champion", second)
    # Each worker follows by itself; both do within seconds.
    _until(lambda: len(seen) > 60 and {version for _, version in seen[-60:]} == {second})
    # A bundle that is broken after it was published never gets in, and the good one stays.
    folder = bundle_folder(own_shop.workspace, own_shop.champion)
    ranker = folder / "ranker.ubj"
    ranker.write_bytes(ranker.read_bytes()[:-1] + b"!")
    with pytest.raises(IntegrityError, match=r"ranker\.ubj"):
        set_alias(own_shop.workspace, "champion", own_shop.champion)
    own_shop.workspace.aliases.write_text(f'{{"champion": "{own_shop.champion}"}}')
    _until(lambda: "is refused" in served.server.log.read_text())
    before = len(seen)
    _until(lambda: len(seen) > before + 60)
    stop.set()
    for asker in askers:
        asker.join()
    assert {status for status, _ in seen} == {200}
    assert {version for _, version in seen[before:]} == {second}


def test_with_a_worker_killed_the_other_answers_and_stopping_leaves_nothing_behind(own_shop, serve):
    served = serve(own_shop)
    workers = served.server.processes()[1:]
    assert len(workers) == 2
    workers[0].kill()
    assert served.post("recommend", {"user_id": "u"}).status_code == 200
    everyone = served.server.processes()
    served.server.stop()
    assert not [process for process in everyone if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # closed connections may linger, listeners not
        probe.bind(("127.0.0.1", int(served.server.url.rsplit(":", 1)[1])))


def test_workers_do_not_outlive_a_killed_supervisor(own_shop, serve):
    served = serve(own_shop)
    workers = served.server.processes()[1:]
    served.server.process.kill()
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert alive == []


def test_nothing_is_served_before_there_is_a_champion(tmp_path):
    with pytest.raises(NoChampionError, match="nextbest run"):
        start_background(Workspace(tmp_path), free_port())


def test_a_corrupt_champion_is_refused_before_anything_starts(own_shop):
    folder = bundle_folder(own_shop.workspace, "champion")
    (folder / "items.parquet").write_bytes(b"PAR1")
    with pytest.raises(IntegrityError, match=r"items\.parquet"):
        start_background(own_shop.workspace, free_port())


def test_a_port_in_use_is_told_with_a_way_out(landed_shop):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(NotReadyError, match=rf"port {port}.*--port"):
            start_background(landed_shop.workspace, port)


def test_an_address_that_others_can_reach_needs_a_key_first(own_shop):
    with pytest.raises(NotReadyError, match="nextbest keys create"):
        start_background(own_shop.workspace, free_port(), host="0.0.0.0")


def test_serving_imports_no_framework_of_the_other_rooms():
    """Dagster, dbt, GX and Evidently would add 2 to 10 seconds and hundreds of megabytes to every worker."""
    program = "import sys, services.service, recommender.model.bundle; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)
    roots = {name.partition(".")[0] for name in done.stdout.split()}
    assert {"bentoml", "xgboost", "starlette"} <= roots
    assert not roots & {"dagster", "dbt", "great_expectations", "evidently", "duckdb", "matplotlib"}


def test_publishing_again_changes_nothing_and_heals_a_copy_cut_short(own_shop):
    workspace = own_shop.workspace
    assert publish(workspace, own_shop.bundle) == own_shop.champion
    (bundle_folder(workspace, own_shop.champion) / "retriever.npz").unlink()
    assert publish(workspace, own_shop.bundle) == own_shop.champion
    assert bundle_folder(workspace, "champion").is_dir()
    assert versions(workspace) == [own_shop.champion]


def test_aliases_keep_the_way_back(own_shop):
    workspace, first = own_shop.workspace, own_shop.champion
    second = publish(workspace, own_shop.other_bundle)
    assert set_alias(workspace, "challenger", second) == {"champion": first, "challenger": second}
    assert set_alias(workspace, "champion", second) == {"champion": second, "previous": first}
    assert set_alias(workspace, "champion", first) == aliases(workspace) == {"champion": first, "previous": second}
    with pytest.raises(IntegrityError, match="not in the model store"):
        set_alias(workspace, "champion", "0123456789abcdef")


def _until(is_so: Any, seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)
