"""Bad bundles and many swaps under load: every bad one is blocked or rolled back, and no request fails meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
from bad_bundles import AFTER, BEFORE, IN_LIFE, renamed, spoilt
from fault_size import is_whole, size
from served_shop import LandedShop, ServedShop

from benchmarks.serving.load import Load, LoadResult, Request, start_load
from recommender.workspace import write_bytes_atomically
from services.journal import export_journal
from services.model_store import aliases, bundle_folder, publish
from services.release import ledger, promote
from services.verdicts import read_verdict

SHORT = ("wild_tree", "truncated", "nan_in_life")  # in `make test`; the whole size takes them all


def test_every_bad_bundle_is_blocked_or_rolled_back_and_no_request_fails(own_shop, serve, tmp_path):
    names = [name for name in (*BEFORE, *AFTER, *IN_LIFE) if is_whole() or name in SHORT]
    verdicts = {}
    served = serve(own_shop)
    with _under_load(served) as results:
        for name in names:
            version = _published(own_shop, name, tmp_path)
            started = time.monotonic()
            # Straight into the aliases: neither the gate nor `nextbest promote` would have let it come that far.
            _alias(own_shop, version)
            _until(lambda: aliases(own_shop.workspace)["champion"] == own_shop.champion, f"{name} to go")
            took = time.monotonic() - started
            verdict = read_verdict(own_shop.workspace, version)
            assert verdict is not None
            assert not verdict.is_sound
            verdicts[name] = verdict
            _until(lambda version=version: version in _in_ledger(own_shop), "a line in the ledger")
            print(f"{name}: gone after {took:.1f} s ({verdict.stage}: {verdict.reason[-120:]})", flush=True)
        _until(lambda: _served_versions(served, 10) == {own_shop.champion}, "the good one to serve")
    (result,) = results
    print(_told(result))
    assert set(result.statuses) == {"200"}
    # What was not sound before it was loaded was seen by nobody. Time is the machine's: of the slow, either holds.
    judged = {name: verdict.stage for name, verdict in verdicts.items() if name not in ("slow", "slower")}
    assert judged == {name: "service" if name in IN_LIFE else "trial" for name in judged}
    in_life = {verdict.version for verdict in verdicts.values() if verdict.stage == "service"}
    assert _recorded_versions(own_shop) == in_life | {own_shop.champion}


def test_swaps_under_load_fail_no_request_and_every_answer_is_of_a_bundle_that_was_champion(own_shop, serve, tmp_path):
    workspace = own_shop.workspace
    third = renamed(own_shop.bundle, "third", tmp_path / "third")
    versions = [own_shop.champion, publish(workspace, own_shop.other_bundle), publish(workspace, third)]
    served = serve(own_shop)
    swaps = size(4, 100)
    with _under_load(served) as results:
        for turn in range(1, swaps + 1):
            # Three in turn: the next one is never the one before, which would still be in memory.
            version = versions[turn % 3]
            promote(workspace, version, retry=False)
            _until(lambda version=version: _served_versions(served, 8) == {version}, f"swap {turn}")
    (result,) = results
    print(f"{swaps} swaps: {_told(result)}")
    assert set(result.statuses) == {"200"}
    assert _recorded_versions(own_shop) == set(versions)


@contextmanager
def _under_load(served: ServedShop) -> Iterator[list[LoadResult]]:
    """Load beside what happens inside; its result is in the list afterwards. It ends in any case."""
    load, results = start_load(_load(served)), []
    try:
        yield results
    finally:
        results.append(load.stop())


def _load(served: ServedShop) -> Load:
    """Half of the requests name items in their context: what spoils in life spoils for these."""
    shop = served.shop
    plain = [Request.json("/v1/recommend", {"user_id": user}) for user in shop.user_ids[:40]]
    aware = [
        Request.json("/v1/recommend", {"user_id": user, "placement": "home", "context_items": [shop.item_ids[0]]})
        for user in shop.user_ids[:40]
    ]
    return Load(served.server.url, {"plain": plain, "aware": aware}, seconds=size(250.0, 1_500.0), connections=2)


def _published(shop: LandedShop, name: str, folder: Path) -> str:
    if name in AFTER:
        # Published whole, and spoilt on the disk afterwards.
        version = publish(shop.workspace, renamed(shop.bundle, name, folder / name))
        AFTER[name](bundle_folder(shop.workspace, version))
        return version
    return publish(shop.workspace, spoilt(shop.bundle, name, folder / name))


def _alias(shop: LandedShop, version: str) -> None:
    named = {"champion": version, "previous": shop.champion}
    write_bytes_atomically(shop.workspace.aliases, orjson.dumps(named))


def _served_versions(served: ServedShop, count: int) -> set[str]:
    """The versions that some requests in a row are answered by; over new connections, so that all workers are asked."""
    found = set()
    for user in served.shop.user_ids[:count]:
        answer = served.post("recommend", {"user_id": user}, connection="close")
        assert answer.status_code == 200
        found.add(answer.json()["model_version"])
    return found


def _in_ledger(shop: LandedShop) -> set[str]:
    return {entry["version"] for entry in ledger(shop.workspace)}


def _recorded_versions(shop: LandedShop) -> set[str]:
    export_journal(shop.workspace)
    return set(pq.read_table(shop.workspace.journal_decisions)["model_version"].to_pylist())


def _told(result: LoadResult) -> dict[str, Any]:
    return {**result.summary(), "errors": dict(result.errors)}


def _until(is_so: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)
