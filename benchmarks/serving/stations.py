"""The servers that are measured, on cores of their own, and what is asked of them. Nothing is timed here."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving.load import Load, LoadResult, Request, run_load
from benchmarks.serving.shop import Shop
from recommender.workspace import Workspace
from services.keys import create_key
from services.server import ServerHandle, start_background

__all__ = ["CONSTANT", "CONSTANT_DOOR", "Asked", "Cores", "Figures", "Station", "fresh_home", "station"]

CONSTANT, REAL = "benchmarks.serving.constant", "services.bento_process"
CONSTANT_DOOR = "benchmarks.serving.constant_door"
# Made by the ring and of no use to the service.
LEFT_OUT = ("warehouse", "dbt", "training", "dagster", "reports", "marts", "landing", "journal", "logs", "monitoring")
# One key asks for everything here, and as fast as can be: what stops a runaway caller would stop the yardstick, too.
LIMITS = "service:\n  requests_per_second: 1000000\n  burst: 1000000\n  longest_wait_seconds: 5\n"


@dataclass(frozen=True)
class Cores:
    """Which cores serve and which ask; both empty (anywhere) with fewer than four."""

    server: tuple[int, ...]
    client: tuple[int, ...]

    @classmethod
    def split(cls) -> Cores:
        if not hasattr(os, "sched_getaffinity") or len(here := sorted(os.sched_getaffinity(0))) < 4:
            return cls((), ())
        return cls(tuple(here[:2]), tuple(here[2:4]))


@dataclass(frozen=True)
class Figures:
    """One load on one server: what its callers saw, and the processor time of its workers."""

    result: LoadResult
    cpu_ms: float  # of all workers for one request

    @property
    def p50(self) -> float:
        return self.result.quantile_ms(0.5)

    @property
    def p99(self) -> float:
        return self.result.quantile_ms(0.99)


@dataclass(frozen=True)
class Station:
    """A running server; `ask` puts a load on it."""

    handle: ServerHandle
    cores: Cores

    def ask(
        self, requests: Sequence[Request], seconds: float, connections: int = 1, rate: float | None = None
    ) -> Figures:
        """Closed loop of `connections` callers, or an open one at `rate`; raises where anything but 2xx came back."""
        return self.mix({"all": requests}, {"all": 1.0}, seconds, connections, rate)

    def mix(
        self,
        requests: dict[str, Sequence[Request]],
        shares: dict[str, float],
        seconds: float,
        connections: int = 1,
        rate: float | None = None,
    ) -> Figures:
        """The same with several kinds of request."""
        load = Load(
            self.handle.url,
            requests,
            seconds,
            None if rate else connections,
            rate,
            shares,
            processes=2 if connections > 1 or rate else 1,
            cores=self.cores.client or None,
        )
        before = self.cpu_seconds()
        result = run_load(load)
        if set(result.statuses) != {"200"}:
            raise RuntimeError(f"Expected 200 alone, found {result.statuses}: {result.refusals} {result.errors}")
        return Figures(result, 1000 * (self.cpu_seconds() - before) / len(result.due))

    def cpu_seconds(self) -> float:
        """Processor time that the workers have used so far."""
        return sum(sum(worker.cpu_times()[:2]) for worker in self.handle.processes()[1:])


@contextlib.contextmanager
def station(workspace: Workspace, cores: Cores, workers: int, program: str = REAL) -> Iterator[Station]:
    """A server of so many workers on the server's cores, ended afterwards with everything it started."""
    everywhere = os.sched_getaffinity(0) if cores.server else set()
    if cores.server:
        os.sched_setaffinity(0, cores.server)  # children inherit it, workers that are started again as well
    try:
        log = f"{program.rpartition('.')[2]}-{workers}.log"
        handle = start_background(workspace, _free_port(), workers=workers, log=log, program=program)
    finally:
        if cores.server:
            os.sched_setaffinity(0, everywhere)
    try:
        handle.wait_ready()
        yield Station(handle, cores)
    finally:
        handle.stop()


@contextlib.contextmanager
def fresh_home(shop: Shop) -> Iterator[Workspace]:
    """A copy of the workspace with an empty journal: what earlier runs recorded must not slow this one down."""
    with tempfile.TemporaryDirectory(prefix="served-", dir=shop.workspace.root.parent) as folder:
        home = Path(folder) / "home"
        shutil.copytree(shop.workspace.root, home, ignore=shutil.ignore_patterns(*LEFT_OUT))
        workspace = Workspace(home)
        workspace.configuration.write_text(LIMITS)
        yield workspace


class Asked:
    """Requests of this shop, with keys of their own."""

    def __init__(self, shop: Shop, workspace: Workspace) -> None:
        self._shop = shop
        self._read, self._write = create_key(workspace, "read"), create_key(workspace, "write")

    def slates(self, given: int = 0, people: int = 500) -> list[Request]:
        """Recommendations for known people; `given` > 0: the candidates come with the request."""
        extra = {"candidates": list(self._shop.item_ids[:given])} if given else {}
        users = self._shop.user_ids[:people]
        return [Request.json("/v1/recommend", {"user_id": user, **extra}, self._read) for user in users]

    def slate(self, user_id: str) -> Request:
        return Request.json("/v1/recommend", {"user_id": user_id}, self._read)

    def view(self, user_id: str, item_id: str) -> Request:
        return Request.json("/v1/track", {**self._view(user_id, item_id), "messageId": "__uid__"}, self._write)

    def views(self, count: int = 500) -> list[Request]:
        """Single product views, each with an id of its own."""
        users, items = self._shop.user_ids, self._shop.item_ids
        return [self.view(users[place % len(users)], items[place % len(items)]) for place in range(count)]

    def batches(self, size: int, count: int = 200) -> list[Request]:
        """Batches of product views by different people."""
        users, items = self._shop.user_ids, self._shop.item_ids
        return [
            Request.json(
                "/v1/batch",
                {
                    "batch": [
                        {
                            **self._view(users[(7 * first + place) % len(users)], items[(first + place) % len(items)]),
                            "type": "track",
                            "messageId": f"__uid__-{place}",
                        }
                        for place in range(size)
                    ]
                },
                self._write,
            )
            for first in range(count)
        ]

    def prices(self, count: int = 200) -> list[Request]:
        """Catalogue rows: as many items, each with a price of its own."""
        items = self._shop.item_ids[:count]
        return [
            Request.json("/v1/items", {"item_id": item, "price": 5 + place % 90}, self._write)
            for place, item in enumerate(items)
        ]

    @staticmethod
    def _view(user_id: str, item_id: str) -> dict[str, object]:
        return {"event": "Product Viewed", "userId": user_id, "properties": {"product_id": item_id, "price": 9.5}}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
