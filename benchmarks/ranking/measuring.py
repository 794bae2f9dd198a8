"""One system at the cuts of a data set: parameters chosen on an earlier span, then lists, figures, time and memory."""

from __future__ import annotations

import resource
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.ranking.datasets import DATASETS, Dataset
from benchmarks.ranking.peers import PEERS, Parameters, Peer
from benchmarks.ranking.platform import NEXTBEST, backtest, lists_of
from benchmarks.ranking.protocol import KINDS, History, Judged, Truth, judge, listed

__all__ = ["Measured", "measure"]

THREADS = 2
CRITERION = "NDCG@10"


@dataclass(frozen=True)
class Measured:
    """`values`: kind → metric → one for each judged user of each cut, in the same order for every system.

    `seconds` and `peak_mb` are for one kind: fitting and listing everybody at all cuts. `tuning_seconds` is beside it.
    """

    system: str
    parameters: dict[str, Parameters]
    values: dict[str, Judged]
    seconds: float
    tuning_seconds: float
    peak_mb: float

    def as_json(self) -> dict[str, Any]:
        """All but the values."""
        return {
            "system": self.system,
            "parameters": {kind: dict(chosen) for kind, chosen in self.parameters.items()},
            "seconds": round(self.seconds, 2),
            "tuning_seconds": round(self.tuning_seconds, 1),
            "peak_mb": round(self.peak_mb),
        }


def measure(system: str, dataset: str, folder: Path, out: Path) -> Measured:
    """Measure a system in a process of its own, so that its peak of memory is its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
        work = _measure_platform if system == NEXTBEST else _measure_peer
        return alone.submit(work, system, dataset, folder, out).result()


def _measure_platform(system: str, dataset: str, folder: Path, out: Path) -> Measured:
    chosen, values = DATASETS[dataset], {}
    started = time.monotonic()
    served = {"repeat": backtest(chosen, folder, out / f"{dataset}-repeat.parquet", is_novel=False)}
    seconds = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    served["novel"] = backtest(chosen, folder, out / f"{dataset}-novel.parquet", is_novel=True)
    purchases = chosen.read(folder)
    for kind in KINDS:
        truths = {cut: Truth.after(purchases, cut, chosen.horizon_days, kind) for cut in chosen.cuts}
        judged = [judge(lists_of(served[kind], purchases, cut, truth.users), truth) for cut, truth in truths.items()]
        values[kind] = _joined(judged)
    return Measured(system, {}, values, seconds, 0.0, peak)


def _measure_peer(system: str, dataset: str, folder: Path, out: Path) -> Measured:
    peer, chosen = PEERS[system], DATASETS[dataset]
    with threadpool_limits(THREADS):
        started = time.monotonic()
        parameters = _tune(peer, chosen, folder)
        tuned = time.monotonic()
        found = {kind: _at_cuts(peer, parameters[kind], chosen, folder, kind) for kind in KINDS}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    values = {kind: judged for kind, (judged, _) in found.items()}
    return Measured(system, parameters, values, found["repeat"][1], tuned - started, peak)


def _tune(peer: Peer, dataset: Dataset, folder: Path) -> dict[str, Parameters]:
    """For each kind of list the choice with the best NDCG@10 on the horizon that ends where the first test begins."""
    if len(peer.choices) == 1:
        return dict.fromkeys(KINDS, peer.choices[0])
    purchases = dataset.read(folder)
    history = History.before(purchases, dataset.tuning_cut)
    truths = {kind: Truth.after(purchases, dataset.tuning_cut, dataset.horizon_days, kind) for kind in KINDS}
    gained: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for choice in peer.choices:
        scorer = peer.fit(history, **choice)
        users = truths["repeat"].users  # who bought something novel bought something
        for kind, lists in listed(history, scorer, users, KINDS).items():
            judged = judge(lists[np.searchsorted(users, truths[kind].users)], truths[kind])
            gained[kind].append(judged[CRITERION].mean())
    return {kind: peer.choices[int(np.argmax(gained[kind]))] for kind in KINDS}


def _at_cuts(peer: Peer, choice: Parameters, dataset: Dataset, folder: Path, kind: str) -> tuple[Judged, float]:
    """Figures of all cuts, and the seconds it took to fit and to list everybody known."""
    purchases, judged, seconds = dataset.read(folder), [], 0.0
    for cut in dataset.cuts:
        history, truth = History.before(purchases, cut), Truth.after(purchases, cut, dataset.horizon_days, kind)
        started = time.monotonic()
        lists = listed(history, peer.fit(history, **choice), history.users, [kind])[kind]
        seconds += time.monotonic() - started
        judged.append(judge(lists[np.searchsorted(history.users, truth.users)], truth))
    return _joined(judged), seconds


def _joined(judged: list[Judged]) -> Judged:
    return {name: np.concatenate([values[name] for values in judged]) for name in judged[0]}
