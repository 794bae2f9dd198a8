"""What an agent sends in the simulated shop arrives in the journal as a sender's events, and brings people by."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from orchestration.letterbox import Letterbox
from recommender.simulation import Shop
from services.journal import Journal
from tests.served_shop import SHOP, ServedShop

pytestmark = pytest.mark.slow


def _decisions(shop: Shop, day: datetime, people: int) -> pa.Table:
    """Every second of these people gets news at 18:00 UTC; the others, like a holdout, get nothing."""
    rows = []
    for index in range(people):
        is_sent = index % 2 == 0
        rows.append(
            {
                "decision_id": f"letterbox-{day:%d}-{index:04d}",
                "user_id": shop.user_id(index),
                "send_at": (day + timedelta(hours=18)).replace(tzinfo=None) if is_sent else None,
                "agent": "comeback",
                "action": "news" if is_sent else "nothing",
                "channel": "email" if is_sent else None,
            }
        )
    schema = [("decision_id", pa.string()), ("user_id", pa.string()), ("send_at", pa.timestamp("ms"))]
    texts = [(name, pa.string()) for name in ("agent", "action", "channel")]
    return pa.Table.from_pylist(rows, schema=pa.schema([*schema, *texts]))


def test_messages_are_told_once_and_bring_people_by(served: ServedShop) -> None:
    shop = Shop.build(SHOP, seed=5)
    letterbox = Letterbox(served.server.url, "whoever asks")
    day = datetime.fromtimestamp(shop.config.end_ms / 1000, UTC)
    first = letterbox.receive(shop, _decisions(shop, day, 200), seed=1)
    letterbox.receive(shop, _decisions(shop, day + timedelta(days=1), 200), seed=2)

    assert letterbox.mail.sent == 2 * 100
    assert 0 < len(first) < letterbox.mail.visits < letterbox.mail.opened < letterbox.mail.sent
    assert {shop.user_index(visit.user_id) % 2 for visit in first} == {0}
    assert first == sorted(first, key=lambda visit: visit.at_ms)

    journal = Journal(served.shop.workspace.journal)
    told = Counter(
        event.event_type
        for index in range(200)
        for event in journal.live_events([shop.user_id(index)], 0).events
        if (event.decision_id or "").startswith("letterbox-")
    )
    journal.close()
    assert told["email_delivered"] == letterbox.mail.sent
    assert told["email_link_clicked"] == letterbox.mail.visits
    assert told["email_opened"] == letterbox.mail.opened
    # The second message is somebody's second of the week.
    assert [len(sent) for sent in letterbox.sent.values()] == [2] * 100
