"""One process of the load generator: sends, times, writes one row a request. `benchmarks.serving.load` starts it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

UID = b"__uid__"  # in a body: replaced by an id that no other request of this load has
NO_ANSWER = 0  # the status of a request that got none: refused, reset, or past its time


class Sender:
    """Sends a load's requests in a seeded order; `rows` holds (due at, seconds, kind, status, degraded) of each."""

    def __init__(self, load: dict[str, Any], part: int) -> None:
        self._load = load
        kinds = list(load["requests"])
        order = np.random.default_rng([load["seed"], part])
        shares = np.array([load["shares"][kind] for kind in kinds], dtype=float)
        self._kinds = order.choice(len(kinds), size=65_536, p=shares / shares.sum()).tolist()
        self._bodies = [
            [(r["method"], load["url"] + r["path"], r["body"].encode(), r["headers"]) for r in load["requests"][kind]]
            for kind in kinds
        ]
        for bodies in self._bodies:
            order.shuffle(bodies)
        self._sent = 0
        self._places = [0] * len(kinds)
        self._prefix = f"{load['nonce']}-{part}-"
        self.rows: list[tuple[float, float, int, int, bool]] = []
        self.errors: Counter[str] = Counter()
        self.acknowledged: list[str] = []
        self.refusals: dict[int, str] = {}
        self.fresh: aiohttp.ClientSession | None = None

    async def send(self, session: aiohttp.ClientSession, due: float) -> None:
        """One request; its time counts from `due`, so that waiting for a stalled service is not hidden."""
        number = self._sent
        self._sent += 1
        kind = self._kinds[number % len(self._kinds)]
        place = self._places[kind]
        self._places[kind] += 1
        method, url, body, headers = self._bodies[kind][place % len(self._bodies[kind])]
        uid = f"{self._prefix}{number}"
        status, is_degraded = NO_ANSWER, False
        for attempt in range(1 + self._load["retries"]):
            # Once more means over a new connection: others that are kept may lead to the same dead process.
            chosen = self.fresh if attempt and self.fresh is not None else session
            try:
                data = body.replace(UID, uid.encode())
                async with chosen.request(method, url, data=data, headers=headers) as answer:
                    text = await answer.read()
                    status, is_degraded = answer.status, b'"degraded":true' in text
                    if status >= 400:
                        self.refusals.setdefault(status, text[:300].decode(errors="replace"))
                break
            except (aiohttp.ClientError, TimeoutError, OSError) as problem:
                self.errors[type(problem).__name__] += 1
        if self._load["keep_ids"] and 200 <= status < 300:
            self.acknowledged.append(uid)
        self.rows.append((due, time.monotonic() - due, kind, status, is_degraded))

    async def closed(self, session: aiohttp.ClientSession, until: float) -> None:
        """One caller: the next request leaves when the last one is answered."""
        while (now := time.monotonic()) < until:
            await self.send(session, now)

    async def opened(self, session: aiohttp.ClientSession, until: float, rate: float, part: int) -> None:
        """Callers who know nothing of each other: requests leave at seeded random moments, answered or not."""
        gaps = np.random.default_rng([self._load["seed"], part, 1])
        due, under_way = time.monotonic(), set()
        while (due := due + float(gaps.exponential(1 / rate))) < until:
            while (left := due - time.monotonic()) > 0:
                # The loop's own timer counts whole milliseconds: the last one and a half are passed by yielding.
                await asyncio.sleep(left - 0.0015 if left > 0.002 else 0)
            task = asyncio.create_task(self.send(session, due))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        if under_way:
            await asyncio.wait(under_way)


async def _run(load: dict[str, Any], part: int) -> Sender:
    sender = Sender(load, part)
    share = load["processes"]
    callers = load["connections"] // share + (part < load["connections"] % share)
    connector = aiohttp.TCPConnector(limit=callers, ttl_dns_cache=None)
    timeout = aiohttp.ClientTimeout(total=load["timeout_seconds"])
    fresh = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True), timeout=timeout)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session, fresh:
        sender.fresh = fresh
        await asyncio.sleep(max(load["start_at"] - time.monotonic(), 0))
        until = time.monotonic() + load["seconds"]
        if load["rate"] is None:
            work = asyncio.gather(*(sender.closed(session, until) for _ in range(callers)))
        else:
            work = asyncio.ensure_future(sender.opened(session, until, load["rate"] / share, part))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
        with contextlib.suppress(asyncio.CancelledError):  # asked to end early: what was measured so far counts
            await work
    return sender


def main(load_path: Path, part: int) -> None:
    load = json.loads(load_path.read_bytes())
    if load["cores"]:
        os.sched_setaffinity(0, load["cores"])
    sender = asyncio.run(_run(load, part))
    columns = list(zip(*sender.rows, strict=True)) or [(), (), (), (), ()]
    names = ("due", "seconds", "kind", "status", "degraded")
    np.savez(load_path.with_name(f"rows-{part}.npz"), **dict(zip(names, map(np.array, columns), strict=True)))
    told = {"errors": sender.errors, "acknowledged": sender.acknowledged, "refusals": sender.refusals}
    load_path.with_name(f"told-{part}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
