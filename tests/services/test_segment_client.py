"""Segment's own library does what it always does when it is told to wait, and nothing is lost or doubled by that."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from services.journal import export_journal

pytestmark = pytest.mark.slow


def test_segments_library_waits_when_it_is_told_to_and_sends_again(own_shop, serve):
    """One request a second is let in: of five batches that are ready at once, four are answered 429 at first."""
    from segment.analytics import Client

    own_shop.workspace.configuration.write_text("service: {requests_per_second: 1, burst: 1}\n")
    served = serve(own_shop, workers=1)
    failures: list[object] = []
    client = Client("any-key", host=served.server.url, upload_size=1, on_error=lambda error, _: failures.append(error))
    for number in range(5):
        client.track(user_id="u", event="Product Viewed", properties={"product_id": "p"}, message_id=f"wait-{number}")
    client.flush()
    client.shutdown()
    log = served.server.log.read_text()
    assert (log.count('"status":429') > 0, failures) == (True, [])
    export_journal(own_shop.workspace)
    ids = pq.read_table(own_shop.workspace.journal_events)["event_id"].to_pylist()
    assert sorted(ids) == [f"wait-{number}" for number in range(5)]
