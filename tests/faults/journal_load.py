"""Clients that tell events while the service is being broken, and keep what was acknowledged. Nothing breaks here."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

__all__ = ["Tellers", "click", "tell_until_stored"]


def click(message_id: str) -> dict[str, Any]:
    """One small message."""
    properties = {"product_id": "p", "price": 1.5}
    return {
        "type": "track",
        "event": "Product Clicked",
        "messageId": message_id,
        "userId": f"user-{zlib.crc32(message_id.encode()) % 97}",
        "properties": properties,
    }


@dataclass
class Tellers:
    """Threads that send numbered messages until they are told to stop or the service is gone."""

    prefix: str
    url: str
    batch: int = 20
    acknowledged: list[str] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, count: int = 4) -> None:
        self._threads = [threading.Thread(target=self._tell, args=(number,)) for number in range(count)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _tell(self, number: int) -> None:
        with httpx.Client(base_url=self.url, timeout=10) as http:
            for ids in self._ids(number):
                if not _is_stored(http, ids):
                    self.unanswered.extend(ids)
                    return
                self.acknowledged.extend(ids)

    def _ids(self, number: int) -> Iterator[list[str]]:
        round_number = 0
        while not self._stop.is_set():
            yield [f"{self.prefix}-{number}-{round_number}-{n}" for n in range(self.batch)]
            round_number += 1


def tell_until_stored(url: str, ids: Sequence[str], batch: int, patience_seconds: float = 120) -> None:
    """Send all of them in batches, each again until it is acknowledged, as every client library does."""
    deadline = time.monotonic() + patience_seconds
    for start in range(0, len(ids), batch):
        part = ids[start : start + batch]
        while True:
            with httpx.Client(base_url=url, timeout=10) as http:
                if _is_stored(http, part):
                    break
            assert time.monotonic() < deadline, "the service did not come back"
            time.sleep(0.05)


def _is_stored(http: httpx.Client, ids: Sequence[str]) -> bool:
    try:
        answer = http.post("/v1/batch", json={"batch": [click(message_id) for message_id in ids]})
    except httpx.HTTPError:
        return False
    return answer.status_code == 200
