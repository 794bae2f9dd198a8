"""An agent's messages as simulated people get and answer them, told to the service. Nothing is decided here."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import numpy as np
import pyarrow as pa

from recommender.agents.record import sends_of
from recommender.events import DAY_MS
from recommender.simulation import Shop, Visit
from recommender.simulation.letters import LETTERS, Answers, Letter, answers

__all__ = ["Letterbox", "Mail"]

WEEK_MS = 7 * DAY_MS
# In this order, and so many milliseconds after it was sent.
HAPPENS = {
    channel: (
        (f"{kind} Delivered", 0),
        (f"{kind} Opened", 120_000),
        (f"{kind} Link Clicked", 150_000),
        ("Unsubscribed", 180_000),
    )
    for channel, kind in (("email", "Email"), ("push", "Push Notification"))
}
BATCH = 100  # events a request, as Segment's libraries send them


@dataclass
class Mail:
    """What came of messages so far."""

    sent: int = 0
    opened: int = 0
    visits: int = 0
    left: int = 0


@dataclass
class Letterbox:
    """Keeps who got what and when, so that people tire of messages; `mail` sums up."""

    base_url: str
    write_key: str
    mail: Mail = field(default_factory=Mail)
    sent: dict[str, list[int]] = field(default_factory=dict)

    def receive(self, shop: Shop, decisions: pa.Table, seed: int) -> list[Visit]:
        """Hand over a day's messages (in AGENT_DECISION_SCHEMA), tell the service what became of them, and return the
        visits they bring, in time order.
        """
        rows = [row for row in sends_of(decisions).to_pylist() if row["action"] in LETTERS]
        ids = dict(zip(decisions["user_id"].to_pylist(), decisions["decision_id"].to_pylist(), strict=True))
        letters = [self._letter(row) for row in rows]
        found = answers(shop, letters, seed)
        self._tell(letters, found, ids)
        visits = [visit for visit in found.visits if visit is not None]
        self.mail.sent += len(letters)
        self.mail.opened += int(np.count_nonzero(found.opened))
        self.mail.visits += len(visits)
        self.mail.left += int(np.count_nonzero(found.left))
        return sorted(visits, key=lambda visit: visit.at_ms)

    def _letter(self, row: dict[str, Any]) -> Letter:
        at_ms = round(row["send_at"].replace(tzinfo=UTC).timestamp() * 1000)
        before = self.sent.setdefault(row["user_id"], [])
        recent = sum(at_ms - WEEK_MS < at < at_ms for at in before)
        before.append(at_ms)
        return Letter(row["user_id"], row["action"], at_ms, recent)

    def _tell(self, letters: list[Letter], found: Answers, ids: dict[str, str]) -> None:
        events = []
        for letter, opened, visit, left in zip(letters, found.opened, found.visits, found.left, strict=True):
            happened = (True, opened, visit is not None, left)
            channel = LETTERS[letter.name][0]
            events += [
                _event(letter, name, after_ms, ids[letter.user_id], channel)
                for (name, after_ms), is_true in zip(HAPPENS[channel], happened, strict=True)
                if is_true
            ]
        with httpx.Client(base_url=self.base_url, timeout=10) as http:
            for start in range(0, len(events), BATCH):
                http.post(
                    "/v1/batch",
                    headers={"Authorization": f"Bearer {self.write_key}"},
                    json={"batch": events[start : start + BATCH]},
                ).raise_for_status()


def _event(letter: Letter, name: str, after_ms: int, decision_id: str, channel: str) -> dict[str, Any]:
    moment = datetime.fromtimestamp((letter.sent_ms + after_ms) / 1000, UTC).isoformat(timespec="milliseconds")
    return {
        "type": "track",
        "messageId": f"{decision_id}:{name}",
        "userId": letter.user_id,
        "event": name,
        "properties": {"decision_id": decision_id, "campaign": letter.name},
        "context": {"occurred_at": moment, "channel": channel},
    }
