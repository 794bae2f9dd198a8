"""Simulated visitors who browse through the real HTTP service: they ask, look, click, buy, and tell Segment's way."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

import httpx
import numpy as np

from recommender.simulation import Response, Shop, Visit

__all__ = ["Traffic", "VisitorConfig", "browse"]

SEGMENT_NAMES = {
    "impression": "Product List Viewed",
    "skip": "Product Skipped",
    "click": "Product Clicked",
    "view": "Product Viewed",
    "add_to_cart": "Product Added",
    "purchase": "Order Completed",
}


@dataclass(frozen=True)
class VisitorConfig:
    """Who comes: `visitors` on the day that begins at `start_ms`, each shown one slate of `k` items."""

    start_ms: int
    visitors: int
    k: int = 8
    seed: int = 7
    threads: int = 4


@dataclass
class Traffic:
    """What happened: slates asked for, degraded or failed answers, and what the visitors did."""

    slates: int = 0
    degraded: int = 0
    failed: int = 0
    clicks: int = 0
    purchases: int = 0

    @property
    def clicks_per_slate(self) -> float:
        return self.clicks / max(self.slates, 1)

    def __add__(self, other: Traffic) -> Traffic:
        """Both together."""
        return Traffic(*(getattr(self, part.name) + getattr(other, part.name) for part in fields(self)))


def browse(
    shop: Shop, base_url: str, keys: dict[str, str], config: VisitorConfig, called: Sequence[Visit] = ()
) -> Traffic:
    """Let the shop's visitors of a day browse, and those whom something called (in any order)."""
    visits = [*shop.live_visitors(config.visitors, config.start_ms, config.seed), *called]
    visits.sort(key=lambda visit: visit.at_ms)
    traffic = Traffic()
    with httpx.Client(base_url=base_url, timeout=10) as http, ThreadPoolExecutor(config.threads) as pool:
        guide = _Guide(shop, http, keys, config)
        for answer, responses in pool.map(guide.lead, enumerate(visits)):
            _count(traffic, answer, responses)
    return traffic


def _count(traffic: Traffic, answer: dict[str, Any] | None, responses: Sequence[Response]) -> None:
    traffic.slates += answer is not None
    traffic.failed += answer is None
    traffic.degraded += bool(answer and answer["degraded"])
    traffic.clicks += sum(response.event_type == "click" for response in responses)
    traffic.purchases += sum(response.event_type == "purchase" for response in responses)


@dataclass(frozen=True)
class _Guide:
    """Leads one visitor at a time through one slate."""

    shop: Shop
    http: httpx.Client
    keys: dict[str, str]
    config: VisitorConfig

    def lead(self, numbered: tuple[int, Visit]) -> tuple[dict[str, Any] | None, Sequence[Response]]:
        number, visit = numbered
        answered = self.http.post(
            "/v1/recommend",
            headers={"Authorization": f"Bearer {self.keys['read']}"},
            json={
                "user_id": visit.user_id,
                "placement": "home",
                "k": self.config.k,
                "context": {"device": visit.device, "channel": visit.channel, "occurred_at": _iso(visit.at_ms)},
            },
        )
        if answered.status_code != httpx.codes.OK:
            return None, ()
        answer = answered.json()
        shown = [item["item_id"] for item in answer["items"]]
        rng = np.random.default_rng([self.config.seed, number])
        responses = self.shop.respond(visit.user_id, shown, visit.at_ms, rng)
        told = self.http.post(
            "/v1/batch",
            headers={"Authorization": f"Bearer {self.keys['write']}"},
            json={"batch": _messages(visit, answer["decision_id"], responses)},
        )
        return (answer if told.status_code == httpx.codes.OK else None), responses


def _messages(visit: Visit, decision_id: str, responses: Sequence[Response]) -> list[dict[str, Any]]:
    """One message for the slate as it was seen, one for each thing done with an item of it."""
    seen = [response for response in responses if response.event_type == "impression"]
    messages = []
    if seen:
        products = [{"product_id": response.item_id, "position": response.position} for response in seen]
        messages.append(_message(visit, decision_id, 0, "impression", seen[0].at_ms, {"products": products}))
    for index, response in enumerate(responses):
        if response.event_type != "impression":
            product = {
                "product_id": response.item_id,
                "position": response.position,
                "quantity": response.quantity,
                "price": response.price,
            }
            properties = {"products": [product]} if response.event_type == "purchase" else product
            messages.append(_message(visit, decision_id, index + 1, response.event_type, response.at_ms, properties))
    return messages


def _message(
    visit: Visit, decision_id: str, index: int, event_type: str, at_ms: int, properties: dict[str, Any]
) -> dict[str, Any]:
    return {
        "type": "track",
        "messageId": f"{decision_id}:{index}",
        "userId": visit.user_id,
        "event": SEGMENT_NAMES[event_type],
        "properties": {**properties, "decision_id": decision_id, "placement": "home"},
        "context": {"occurred_at": _iso(at_ms), "device": {"type": visit.device}, "channel": visit.channel},
    }


def _iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
