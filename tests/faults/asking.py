"""Recommendations asked for while something breaks, and what came back by phase: before, during, after."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.serving.load import Load, LoadResult, Request, start_load

__all__ = ["PATIENT", "Outage", "ask_during", "asking", "settle"]

# For nextbest.yml: what is refused under overload is another test's subject, and this machine may be anybody's.
PATIENT = "service: {longest_wait_seconds: 30}\n"


def asking(served: Any, seconds: float, *, rate: float, retries: int = 0) -> Load:
    """People of the shop ask for their home lists: `rate` a second at random moments, whatever becomes of them."""
    requests = [Request.json("/v1/recommend", {"user_id": user}) for user in served.shop.user_ids]
    return Load(served.server.url, {"recommend": requests}, seconds, connections=64, rate=rate, retries=retries)


@dataclass(frozen=True)
class Outage:
    """What was answered while something was broken from second `broken` of the load to second `mended`."""

    result: LoadResult
    broken: float
    mended: float

    @property
    def failed(self) -> int:
        """Requests that were not answered with 200."""
        return int(np.count_nonzero(self.result.status != 200))

    @property
    def degraded_before(self) -> int:
        """Answers given before anything broke."""
        return int(self.result.degraded[self.result.due + self.result.seconds < self.broken].sum())

    @property
    def degraded_during(self) -> int:
        due = self.result.due
        return int(self.result.degraded[(due >= self.broken) & (due < self.mended)].sum())

    @property
    def recovery_seconds(self) -> float:
        """From the mending to the last degraded answer; 0 where there was none after it."""
        late = self.result.due[self.result.degraded]
        return max(float(late.max(initial=0.0)) - self.mended, 0.0)

    def figures(self) -> dict[str, Any]:
        summary = self.result.summary()
        whole = {name: summary[name] for name in ("requests", "statuses", "degraded", "p50_ms", "p99_ms", "max_ms")}
        return {**whole, "recovery_s": round(self.recovery_seconds, 2)}


def settle(served: Any) -> None:
    """Return once both workers answer in full, which they may do by turns."""
    deadline, whole = time.monotonic() + 30, 0
    while whole < 10:
        assert time.monotonic() < deadline, "the store is not read again"
        answer = served.post("recommend", {"user_id": served.shop.user_ids[0]}).json()
        whole = 0 if answer["degraded"] else whole + 1
        time.sleep(0.02)


def ask_during(
    load: Load, fault: Callable[[], None], mend: Callable[[], None], *, broken: float, mended: float, name: str
) -> Outage:
    """Run a load; `fault` strikes at second `broken` of it, `mend` ends it at second `mended`. Prints the figures."""
    running = start_load(load)
    began = time.monotonic() + 1.0  # the processes begin together, a second after they were started
    moments = []
    for due, action in ((broken, fault), (mended, mend)):
        time.sleep(max(began + due - time.monotonic(), 0))
        struck = time.monotonic()
        action()
        moments.append(time.monotonic() if moments else struck)  # broken from its begin, mended from its end
    result = running.finish()
    outage = Outage(result, *(moment - result.began for moment in moments))
    print(f"\n{name}: {json.dumps(outage.figures())}")
    return outage
