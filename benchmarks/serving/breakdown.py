"""Where the time of one answer goes: the parts of `Door.recommend`, one after the other in this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import numpy as np

from benchmarks.serving.shop import Shop
from recommender.decision.pipeline import DecisionRequest, decide
from recommender.workspace import Workspace
from services.door import Door
from services.records import Entry

__all__ = ["parts_ms"]

TIMES = 5


def parts_ms(shop: Shop, workspace: Workspace, given: int, people: int = 200) -> dict[str, float]:
    """Milliseconds of each part: the median person's, of pure parts the least of five times, which other work on the
    machine disturbs little. HTTP is T's part and is not among them."""
    door = Door(workspace)
    try:
        return asyncio.run(_parts(door, shop, given, people))
    finally:
        door.close()


async def _parts(door: Door, shop: Shop, given: int, people: int) -> dict[str, float]:
    scorer, placements = door.champion.scorer, door.operator.configuration.placements
    assert scorer is not None
    users = shop.user_ids[:people]
    body: dict[str, Any] = {"candidates": list(shop.item_ids[:given])} if given else {}
    moment = door.clock.request_moment({})
    states = [(await door.states.read(user))[0] for user in users]
    found: dict[str, float] = {}

    def timed(name: str, step: Callable[[int], Any]) -> list[Any]:
        times = np.full((TIMES, len(users)), np.inf)
        results: list[Any] = [None] * len(users)
        for turn, place in np.ndindex(times.shape):
            started = time.perf_counter()
            results[place] = step(place)
            times[turn, place] = time.perf_counter() - started
        found[name] = round(1000 * float(np.median(times.min(axis=0))), 3)
        return results

    requests = timed(
        "read the request",
        lambda place: DecisionRequest.parse({"user_id": users[place], **body}, uuid4().hex, moment, placements),
    )
    lives = timed("events since the stored state", lambda place: door.reader.live_events([users[place]], 0))

    def decided(place: int) -> Any:
        return decide(requests[place], states[place], lives[place].events, scorer, placements)

    for place in range(20):
        decided(place)
    decisions = timed("retrieve, assemble, score, arrange", decided)
    timed("the answer", lambda place: decisions[place].answer())
    found["stored state"] = await _awaited([lambda user=user: door.states.read(user) for user in users])
    entries = [Entry(decision=decision.to_row()) for decision in decisions]
    found["record on disk"] = await _awaited([lambda entry=entry: door.record(entry) for entry in entries])
    return found


async def _awaited(steps: list[Callable[[], Any]]) -> float:
    times = []
    for step in steps:
        started = time.perf_counter()
        await step()
        times.append(time.perf_counter() - started)
    return round(1000 * float(np.median(times)), 3)
