"""The catalogue as it is now over the bundles in service: followed in a thread, swapped while requests run. No HTTP.

A bundle knows the items of its cut. What the journal was told since is laid over it, off the event loop, and taken
into service by one assignment; a request sees the one or the other, and its record names which.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recommender.decision.protocols import Scorer
from recommender.events import CATALOGUE_SCHEMA
from services.journal import Journal

__all__ = ["Catalogue", "CatalogueConfig"]

_LOG = logging.getLogger("nextbest.catalogue")


@dataclass(frozen=True)
class CatalogueConfig:
    """`patience_seconds`: how long a request waits at most for changes that were acknowledged before it came (8 ms of
    work for 4,000 items, 70 for 92,000); after that it is answered from the catalogue before. `waiting_share`: of all
    time; in a stream of changes requests soon wait no more, and see each change a moment later. `rest`: the thread
    rests so many times as long as the last laying took, so that such a stream leaves the processor to requests."""

    patience_seconds: float = 0.25
    waiting_share: float = 0.1
    rest: float = 1.0


@dataclass(frozen=True)
class _View:
    """One bundle with the changes up to a row laid over it; `changes`: those that it did not know itself."""

    bundle: Scorer
    scorer: Scorer
    seq: int
    changes: pa.Table


class Catalogue:
    """`over` gives a bundle as it is to be served now."""

    def __init__(self, path: Path, config: CatalogueConfig | None = None) -> None:
        self._path, self._config = path, config or CatalogueConfig()
        self._views: dict[str, _View] = {}
        self._laying = threading.Lock()  # also held while the connection is used
        self._journal = Journal(path)
        self._thread = ThreadPoolExecutor(1, "catalogue")
        self._under_way: Future[None] | None = None
        self._rested_at = 0.0
        self._patience, self._patient_at = self._config.patience_seconds, time.monotonic()
        self._given_up = 0  # a row that could not be laid: not tried again before another comes

    @property
    def seq(self) -> int:
        """The row up to which every bundle in service shows the catalogue."""
        return min((view.seq for view in self._views.values()), default=0)

    def over(self, bundle: Scorer) -> Scorer:
        """The bundle with later rows laid over it."""
        view = self._views.get(bundle.version)
        return bundle if view is None else view.scorer

    def in_service(self, version: str) -> Scorer | None:
        """A bundle as it is served now; any other in service where that version is not."""
        views = self._views
        view = views.get(version) or next(iter(views.values()), None)
        return None if view is None else view.scorer

    def prepare(self, bundle: Scorer) -> None:
        """Lay the catalogue over a bundle before it is taken into service. Blocks; a failure is told, not raised."""
        with self._laying:
            try:
                seq = self._journal.catalogue_seq()
                view = _laid(bundle, self._journal.catalogue_changes(0, seq), seq)
            except Exception:
                _LOG.exception("the catalogue cannot be laid over bundle %s, which serves its own", bundle.version)
                return
            self._views = {**self._views, bundle.version: view}
        if view.scorer is bundle:
            self._thread.submit(_warm, bundle)

    def keep(self, versions: Iterable[str]) -> None:
        """Let go of the bundles that are in service no more."""
        wanted = set(versions)
        if not set(self._views) <= wanted:
            with self._laying:
                self._views = {version: view for version, view in self._views.items() if version in wanted}

    async def caught_up(self, seq: int) -> None:
        """Return once row `seq` is served, or the patience is over."""
        if seq <= self.seq or (laying := self._start(seq)) is None:
            return
        config, started = self._config, time.monotonic()
        earned = config.waiting_share * (started - self._patient_at)
        self._patience, self._patient_at = min(self._patience + earned, config.patience_seconds), started
        if self._patience > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(laying)), self._patience)
            # Many may wait for the same: what is spent is time, once.
            self._patience -= time.monotonic() - max(started, self._patient_at)
            self._patient_at = time.monotonic()

    def follow(self) -> None:
        """Look for changes without a request that asks for them."""
        if self._views and self._laying.acquire(blocking=False):
            try:
                seq = self._journal.catalogue_seq()
            finally:
                self._laying.release()
            if seq > self.seq:
                self._start(seq)

    async def at(self, version: str, seq: int) -> Scorer | None:
        """A bundle in service as it showed the catalogue at row `seq`; None where the bundle is not in service."""
        view = self._views.get(version)
        if view is None or view.seq == seq:
            return None if view is None else view.scorer
        bundle = view.bundle

        def laid() -> Scorer:
            with closing(Journal(self._path)) as journal:
                return _laid(bundle, journal.catalogue_changes(0, seq), seq).scorer

        return await asyncio.get_running_loop().run_in_executor(self._thread, laid)

    def close(self) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._journal.close()

    def _start(self, seq: int) -> Future[None] | None:
        """The laying that is under way or begins once the thread has rested; None where it would fail again."""
        if self._under_way is not None and not self._under_way.done():
            return self._under_way
        if seq <= self._given_up:
            return None
        self._under_way = self._thread.submit(self._follow)
        return self._under_way

    def _follow(self) -> None:
        time.sleep(max(self._rested_at - time.monotonic(), 0.0))
        started, seq = time.monotonic(), 0
        try:
            with self._laying:
                seq = self._journal.catalogue_seq()
                self._views = {name: _followed(view, self._journal, seq) for name, view in self._views.items()}
        except Exception:
            self._given_up = seq
            _LOG.exception("the catalogue cannot be followed; what was served before is served on")
        self._rested_at = time.monotonic() + self._config.rest * (time.monotonic() - started)


def _laid(bundle: Scorer, changes: pa.Table, seq: int) -> _View:
    if not len(changes):
        return _View(bundle, bundle, seq, changes)
    # Here, not above: BentoML's supervisor imports this module too and has no use for XGBoost (2.5 s).
    from recommender.model.later_items import lay_items
    from recommender.model.scorer import RankingModel

    assert isinstance(bundle, RankingModel)
    scorer, telling = lay_items(bundle, changes, seq)
    return _View(bundle, scorer, seq, telling)


def _warm(bundle: Scorer) -> None:
    """Lay something once, so that the first change that is told does not wait for what is made but once: 1.2 s for
    92,000 items."""
    nothing = CATALOGUE_SCHEMA.empty_table()
    item = pa.Table.from_pylist([{"item_id": "\0", "title": "a", "recorded_at": 0, "listed_at": 0}], nothing.schema)
    try:
        _laid(bundle, item, 0)
    except Exception:
        _LOG.exception("the catalogue of bundle %s cannot be laid over", bundle.version)


def _followed(view: _View, journal: Journal, seq: int) -> _View:
    """Always laid over the bundle, never over an earlier view: every worker comes to the same bits by any way."""
    return _laid(view.bundle, _merged(view.changes, journal.catalogue_changes(view.seq, seq)), seq)


def _merged(earlier: pa.Table, later: pa.Table) -> pa.Table:
    """The latest row of each item, items in the order in which they were first spoken of."""
    place = pc.fill_null(pc.index_in(later["item_id"], value_set=earlier["item_id"].combine_chunks()), -1)
    known = place.to_numpy().astype(np.int64)
    rows = np.arange(len(earlier))
    rows[known[known >= 0]] = len(earlier) + np.flatnonzero(known >= 0)
    both = pa.concat_tables([earlier, later])
    return both.take(pa.array(np.concatenate([rows, len(earlier) + np.flatnonzero(known < 0)]))).combine_chunks()
