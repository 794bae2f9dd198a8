"""What the runs of all agents have sent or scheduled, in a worker's memory, found by person. Nothing is judged here.

Twenty bytes a message: the person as a hash of 64 bits (two people with one hash among a hundred million messages: one
chance in four thousand, and then a cap counts too much), the moment, and which agent's action in which channel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recommender.agents.agent import NOTHING
from recommender.agents.erased_sends import sent_to_erased
from recommender.agents.run_files import moment_of_file
from recommender.agents.turns import Turns
from recommender.events import DAY_MS
from recommender.workspace import Workspace

__all__ = ["REMEMBERED_MS", "BatchSends", "Held"]

REMEMBERED_MS = 62 * DAY_MS  # the longest cap looks 30 days both ways, and a message may be scheduled ahead
_ENDS: tuple[Literal["left"], Literal["right"]] = ("left", "right")
_AT_A_TIME = 50_000  # rows, so that no hash or copy keeps the event loop from its turn for more than some 10 ms

Kind = tuple[str, str, str]  # agent, action, channel
_Part = tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64], npt.NDArray[np.int32]]


@dataclass(frozen=True)
class Held:
    """Messages ordered by the hash of their person. `turns`: how many runs had had their turn when they were read;
    `given`: (agent, action) → messages of all times; `files`: what was read.
    """

    turns: int = -1
    people: npt.NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    at_ms: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    kind: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    kinds: tuple[Kind, ...] = ()
    given: Mapping[tuple[str, str], int] = field(default_factory=dict)
    files: frozenset[Path] = frozenset()

    def to(self, people: Sequence[str]) -> list[tuple[int, str, str, str]]:
        """Each message to a person, who may be known by several ids: when, agent, action and channel."""
        found = []
        for key in _hashes(people):
            first, last = (int(np.searchsorted(self.people, key, side)) for side in _ENDS)
            found += [(int(self.at_ms[row]), *self.kinds[self.kind[row]]) for row in range(first, last)]
        return found


class BatchSends:
    """`held` is replaced in one assignment; one thread refreshes it."""

    def __init__(self, workspace: Workspace) -> None:
        self._folder, self._turns = workspace.agents, Turns(workspace.agents)
        self.held = Held()

    def close(self) -> None:
        self._turns.close()

    def refresh(self, now_ms: int) -> None:
        """Read what runs have written since the last time; nothing while one is at work."""
        turns = self._turns.take()
        if turns is None:
            return
        try:
            if turns == self.held.turns:
                return
            files = frozenset(self._folder.glob("*/decisions/*.parquet"))
        finally:
            self._turns.give_back()
        self.held = _with(self.held, turns, sorted(files - self.held.files), now_ms)


def _with(held: Held, turns: int, files: Sequence[Path], now_ms: int) -> Held:
    """What was held and what these files add; a file never changes."""
    kinds, given = {kind: place for place, kind in enumerate(held.kinds)}, dict(held.given)
    parts = [(held.people, held.at_ms, held.kind)]
    for path in files:
        agent = path.parts[-3]
        for action, count in _counts(path):
            given[agent, action] = given.get((agent, action), 0) + count
        if moment_of_file(path) >= now_ms - REMEMBERED_MS:
            parts += _messages(path, agent, kinds)
    people, at_ms, kind = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.argsort(people, kind="stable")
    return Held(turns, people[order], at_ms[order], kind[order], tuple(kinds), given, held.files | frozenset(files))


def _messages(path: Path, agent: str, kinds: dict[Kind, int]) -> Iterator[_Part]:
    """Parts of a file's messages: hashes, moments, kinds (those that are new are added)."""
    for batch in pq.ParquetFile(path).iter_batches(_AT_A_TIME, columns=["user_id", "send_at", "action", "channel"]):
        sent = batch.filter(pc.not_equal(batch["action"], NOTHING))
        if not sent.num_rows:
            continue
        names = (sent[name].dictionary_encode() for name in ("action", "channel"))
        (actions, action), (channels, channel) = ((one.dictionary, one.indices.to_numpy()) for one in names)
        pairs, place = np.unique(action.astype(np.int64) * len(channels) + channel, return_inverse=True)
        named = ((agent, actions[pair // len(channels)], channels[pair % len(channels)]) for pair in pairs.tolist())
        known = [kinds.setdefault((who, what.as_py(), where.as_py()), len(kinds)) for who, what, where in named]
        at_ms = sent["send_at"].cast(pa.timestamp("ms")).cast(pa.int64()).to_numpy()
        yield _hashes(sent["user_id"]), at_ms.astype(np.int64), np.array(known, np.int32)[place]


def _counts(path: Path) -> Iterator[tuple[str, int]]:
    actions = pq.read_table(path, columns=["action"], read_dictionary=["action"])["action"]
    for entry in pc.value_counts(actions.combine_chunks().cast(pa.string())).to_pylist():
        if entry["values"] != NOTHING:
            yield entry["values"], entry["counts"]
    yield from sent_to_erased(path).items()


def _hashes(people: Sequence[str] | pa.Array) -> npt.NDArray[np.uint64]:
    """uint64 (n): pandas' SipHash of each id, without a loop in Python."""
    texts = people.to_numpy(zero_copy_only=False) if isinstance(people, pa.Array) else np.array(people, dtype=object)
    return np.asarray(pd.util.hash_array(texts, categorize=False), dtype=np.uint64)
