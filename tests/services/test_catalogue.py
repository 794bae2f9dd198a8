"""The catalogue over the bundles in service: every worker comes to the same bits, by whatever way it got there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from recommender.model.bundle import Bundle, load_bundle
from services.catalogue import Catalogue, CatalogueConfig
from services.catalogue_rows import read_row
from services.journal import Journal
from services.records import CatalogueRow, Entry

pytestmark = pytest.mark.slow

PATIENT = CatalogueConfig(patience_seconds=60.0, rest=0.0)


@pytest.fixture(scope="module")
def bundle(landed_shop: Any) -> Bundle:
    return load_bundle(landed_shop.bundle)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal.db")
    yield journal
    journal.close()


@pytest.fixture
def workers(tmp_path: Path, journal: Journal, bundle: Bundle) -> Iterator[list[Catalogue]]:
    """Two that follow from the beginning."""
    found = [Catalogue(tmp_path / "journal.db", PATIENT) for _ in range(2)]
    for worker in found:
        worker.prepare(bundle)
    yield found
    for worker in found:
        worker.close()


def tell(journal: Journal, *bodies: dict[str, Any]) -> int:
    rows = tuple(CatalogueRow(*read_row(body), 1_900_000_000_000) for body in bodies)
    journal.append([Entry(items=rows)])
    return journal.catalogue_seq()


def catch_up(worker: Catalogue, seq: int) -> None:
    asyncio.run(worker.caught_up(seq))


def same(first: Any, second: Any) -> bool:
    """Tables, features of items and what is the same for all people, to the bit."""
    shared = [
        [one.item_scores.tobytes() for one in scorer.retriever.generators if hasattr(one, "item_scores")]
        for scorer in (first, second)
    ]
    is_same_matrix = first.matrix.fixed.tobytes() == second.matrix.fixed.tobytes()
    return bool(first.items.table.equals(second.items.table) and is_same_matrix and shared[0] == shared[1])


def test_nothing_told_means_the_bundle_itself(workers: list[Catalogue], bundle: Bundle):
    assert workers[0].over(bundle) is bundle
    assert workers[0].seq == 0


def test_steps_and_leaps_end_at_the_same_bits(
    workers: list[Catalogue], journal: Journal, bundle: Bundle, tmp_path: Path
):
    known = bundle.items.item_ids.to_pylist()
    seq = 0
    for bodies in (
        [{"item_id": "x", "title": "lamp"}, {"item_id": known[0], "price": 3}],
        [{"item_id": "y", "title": "cup"}, {"item_id": "x", "available": False}],
        [{"item_id": known[0], "price": 4}, {"item_id": "x", "brand": "b", "available": True}, {"item_id": "w"}],
    ):
        seq = tell(journal, *bodies)
        catch_up(workers[0], seq)
    catch_up(workers[1], seq)
    newcomer = Catalogue(tmp_path / "journal.db", PATIENT)
    newcomer.prepare(bundle)
    served = [worker.over(bundle) for worker in (*workers, newcomer)]
    newcomer.close()
    assert [scorer.catalogue_seq for scorer in served] == [seq] * 3
    assert served[0].items.item_ids.to_pylist()[len(known) :] == ["x", "y", "w"]
    assert same(served[0], served[1])
    assert same(served[0], served[2])


def test_the_catalogue_of_any_earlier_row_can_be_had_again(workers: list[Catalogue], journal: Journal, bundle: Bundle):
    first = tell(journal, {"item_id": "x", "price": 1})
    catch_up(workers[0], first)
    then = workers[0].over(bundle)
    catch_up(workers[0], tell(journal, {"item_id": "x", "price": 2}, {"item_id": "y"}))
    again = asyncio.run(workers[0].at(bundle.version, first))
    assert again is not None
    assert same(then, again)
    assert not same(then, workers[0].over(bundle))
    assert asyncio.run(workers[0].at("another version", first)) is None


def test_a_worker_that_nobody_asks_follows_all_the_same(workers: list[Catalogue], journal: Journal, bundle: Bundle):
    seq = tell(journal, {"item_id": "x"})
    workers[0].follow()
    until = time.monotonic() + 30
    while workers[0].seq < seq:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert "x" in workers[0].over(bundle).items.index


def test_impatience_answers_from_the_catalogue_before(journal: Journal, bundle: Bundle, tmp_path: Path):
    worker = Catalogue(tmp_path / "journal.db", CatalogueConfig(patience_seconds=0.0))
    worker.prepare(bundle)
    asyncio.run(worker.caught_up(tell(journal, {"item_id": "x"})))
    worker.close()  # ends what was begun
    assert worker.over(bundle).catalogue_seq in (0, 1)


def test_a_bundle_that_is_in_service_no_more_is_let_go(workers: list[Catalogue], bundle: Bundle):
    workers[0].keep([bundle.version])
    assert workers[0].in_service(bundle.version) is not None
    workers[0].keep(["another"])
    assert workers[0].in_service(bundle.version) is None
