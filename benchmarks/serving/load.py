"""Load on a service from processes of their own: so many callers in turn, or so many requests a second come what may.

    python -m benchmarks.serving.load --url http://127.0.0.1:3001 --body '{"user_id": "u1"}' --connections 8 --seconds 5
    python -m benchmarks.serving.load --url … --path /v1/track --body '{…, "messageId": "__uid__"}' --rate 200

Prints a JSON. In a closed loop (`--connections`) the time of a request counts from its sending; in an open one
(`--rate`) from the moment it was due, so that a stall shows in every request that it held up. `__uid__` in a body
becomes an id that no other request has. Nothing here knows the service.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt

__all__ = ["Load", "LoadResult", "Request", "RunningLoad", "run_load", "start_load"]


@dataclass(frozen=True)
class Request:
    """One request as it leaves; `body` is text, `__uid__` in it becomes an id of the request's own."""

    path: str
    body: str = ""
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})

    @classmethod
    def json(cls, path: str, body: Any, key: str | None = None) -> Request:
        """A POST of a JSON body, with a key of the service where it needs one."""
        headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
        return cls(path, json.dumps(body), headers=headers)


@dataclass(frozen=True)
class Load:
    """`requests`: by kind; each kind's are sent in turn, kinds are mixed by `shares` (equal ones where None).

    `connections` callers (None: 8) send as fast as they are answered, unless `rate` (requests a second) is given:
    then requests leave at random moments of that rate, over at most `connections` connections (None: 500).
    `processes` share the load. `cores`: where they run (None: anywhere). `keep_ids` keeps the ids of all requests
    answered with 2xx.
    """

    url: str
    requests: Mapping[str, Sequence[Request]]
    seconds: float
    connections: int | None = None
    rate: float | None = None
    shares: Mapping[str, float] | None = None
    processes: int = 1
    cores: Sequence[int] | None = None
    seed: int = 1
    keep_ids: bool = False
    timeout_seconds: float = 30.0
    retries: int = 0


@dataclass(frozen=True)
class LoadResult:
    """What came back: a row a request. `due` counts seconds from the load's begin; status 0: no answer at all."""

    kinds: Sequence[str]
    due: npt.NDArray[np.float64]
    seconds: npt.NDArray[np.float64]
    kind: npt.NDArray[np.int64]
    status: npt.NDArray[np.int64]
    degraded: npt.NDArray[np.bool_]
    errors: Mapping[str, int]
    acknowledged: Sequence[str]
    refusals: Mapping[str, str]  # the first body of every status of 400 and more
    began: float = 0.0  # the first request's moment, on the clock of `time.monotonic`

    @cached_property
    def elapsed(self) -> float:
        """Seconds from the first request to the last answer."""
        return float((self.due + self.seconds).max() - self.due.min()) if len(self.due) else 0.0

    @property
    def statuses(self) -> dict[str, int]:
        """How many requests by status; "0": no answer."""
        values, counts = np.unique(self.status, return_counts=True)
        return dict(zip(map(str, values.tolist()), counts.tolist(), strict=True))

    @property
    def throughput(self) -> float:
        """Answers of 2xx a second."""
        return float(np.count_nonzero(self.status // 100 == 2)) / self.elapsed if self.elapsed else 0.0

    def quantile_ms(self, share: float, kind: str | None = None) -> float:
        """Milliseconds within which this share of all requests, or of a kind, was answered (failures included)."""
        chosen = self.seconds if kind is None else self.seconds[self.kind == list(self.kinds).index(kind)]
        return 1000 * float(np.quantile(chosen, share)) if len(chosen) else float("nan")

    def summary(self, kind: str | None = None) -> dict[str, Any]:
        """Figures as plain values; times in milliseconds."""
        mine = np.ones(len(self.due), dtype=bool) if kind is None else self.kind == list(self.kinds).index(kind)
        good = int(np.count_nonzero(self.status[mine] // 100 == 2))
        values, counts = np.unique(self.status[mine], return_counts=True)
        return {
            "requests": int(mine.sum()),
            "answers_per_second": round(good / self.elapsed, 1) if self.elapsed else 0.0,
            "statuses": dict(zip(map(str, values.tolist()), counts.tolist(), strict=True)),
            "degraded": int(self.degraded[mine].sum()),
            **{f"p{round(100 * share)}_ms": round(self.quantile_ms(share, kind), 3) for share in (0.5, 0.95, 0.99)},
            "max_ms": round(1000 * float(self.seconds[mine].max(initial=0.0)), 3),
        }

    def as_json(self) -> dict[str, Any]:
        """The summary of all, of each kind, and of each second (by the moment the requests were due)."""
        told = {**self.summary(), "connection_errors": dict(self.errors), "refusals": dict(self.refusals)}
        if len(self.kinds) > 1:
            told["kinds"] = {kind: self.summary(kind) for kind in self.kinds}
        return {**told, "timeline": self.timeline()}

    def timeline(self) -> list[dict[str, Any]]:
        """A row a second: requests due, those not answered with 2xx, degraded ones, and p99."""
        rows = []
        second = (self.due - self.due.min(initial=np.inf)).astype(np.int64)
        for number in np.unique(second).tolist():
            mine = second == number
            p99 = 1000 * float(np.quantile(self.seconds[mine], 0.99))
            failed = int(np.count_nonzero(self.status[mine] // 100 != 2))
            rows.append(
                {
                    "second": number,
                    "requests": int(mine.sum()),
                    "failed": failed,
                    "degraded": int(self.degraded[mine].sum()),
                    "p99_ms": round(p99, 2),
                }
            )
        return rows


class RunningLoad:
    """A load under way in processes of its own; `finish` waits for its end, `stop` brings it about."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._folder = Path(tempfile.mkdtemp(prefix="nextbest-load-"))
        shares = load.shares or dict.fromkeys(load.requests, 1.0)
        path = self._folder / "load.json"
        # Python and aiohttp take half a second to start; all processes begin at one moment after that.
        starts_at = time.monotonic() + 1.0
        told = {**asdict(load), "shares": shares, "start_at": starts_at, "nonce": uuid4().hex}
        told["connections"] = load.connections or (8 if load.rate is None else 500)
        path.write_text(json.dumps(told, default=dict))
        command = [sys.executable, "-m", "benchmarks.serving.load_process", str(path)]
        project = Path(__file__).resolve().parents[2]
        self._processes = [
            subprocess.Popen([*command, str(part)], cwd=project, stdin=subprocess.DEVNULL)
            for part in range(load.processes)
        ]

    def stop(self) -> LoadResult:
        """End it before its time; requests under way are not waited for and do not count."""
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        return self.finish()

    def finish(self) -> LoadResult:
        """The result, once every process has ended. Raises CalledProcessError where one failed."""
        try:
            codes = [process.wait() for process in self._processes]
            for process, code in zip(self._processes, codes, strict=True):
                if code != 0:
                    raise subprocess.CalledProcessError(code, process.args)
            return self._collected()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _collected(self) -> LoadResult:
        parts = range(len(self._processes))
        files = [np.load(self._folder / f"rows-{part}.npz") for part in parts]
        told = [json.loads((self._folder / f"told-{part}.json").read_bytes()) for part in parts]
        rows = {name: np.concatenate([file[name] for file in files]) for name in files[0].files}
        order = np.argsort(rows["due"], kind="stable")
        rows = {name: column[order] for name, column in rows.items()}
        return LoadResult(
            list(self._load.requests),
            rows["due"] - rows["due"].min(initial=np.inf),
            rows["seconds"],
            rows["kind"].astype(np.int64),
            rows["status"].astype(np.int64),
            rows["degraded"].astype(bool),
            dict(sum((Counter(one["errors"]) for one in told), Counter())),
            [uid for one in told for uid in one["acknowledged"]],
            {status: text for one in told for status, text in one["refusals"].items()},
            float(rows["due"].min(initial=np.inf)),
        )


def start_load(load: Load) -> RunningLoad:
    """Begin a load beside this process; about a second passes before its first request."""
    return RunningLoad(load)


def run_load(load: Load) -> LoadResult:
    """A whole load, from its begin to its end."""
    return RunningLoad(load).finish()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", required=True)
    parser.add_argument("--path", default="/v1/recommend")
    parser.add_argument("--body", default='{"user_id": "somebody"}', help="JSON; __uid__ becomes an id of its own")
    parser.add_argument("--key", help="a key of the service")
    parser.add_argument("--connections", type=int)
    parser.add_argument("--rate", type=float, help="requests a second, whatever becomes of them")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    request = Request.json(options.path, json.loads(options.body), options.key)
    result = run_load(
        Load(
            options.url,
            {"request": [request]},
            options.seconds,
            options.connections,
            options.rate,
            processes=options.processes,
        )
    )
    print(json.dumps(result.as_json(), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
