"""What a scrape tells of a running service: where time went, how old things are, what was refused."""

from __future__ import annotations

import re
from typing import Any

import pytest

from services.metrics import STAGES

pytestmark = pytest.mark.slow


def told(served: Any) -> dict[str, float]:
    """Every sample of a scrape by its name and labels."""
    lines = served.http.get("/metrics").text.splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}


def test_every_stage_of_a_recommendation_is_timed_once(served):
    before = told(served)
    for _ in range(5):
        assert served.post("recommend", {"user_id": served.shop.user_ids[0]}).status_code == 200
    after = told(served)
    for stage in STAGES:
        name = f'nextbest_stage_seconds_count{{stage="{stage}"}}'
        assert (
            5 <= after[name] - before.get(name, 0) < 10
        )  # once: the server is shared, what others asked may still end
        assert after[name.replace("count", "sum")] > before.get(name.replace("count", "sum"), 0)


def test_states_features_and_ages_are_told(served):
    before = told(served)
    served.post("track", {"event": "Opened", "userId": "u", "messageId": "scrape-1"})
    for user_id in (served.shop.user_ids[0], "a-stranger"):
        answer = served.post("recommend", {"user_id": user_id, "k": 4}).json()
    record = served.http.get(f"/v1/decisions/{answer['decision_id']}").json()
    after = told(served)
    grown = {name: value - before.get(name, 0) for name, value in after.items()}
    assert grown['nextbest_states_total{source="stored"}'] >= 1
    assert grown['nextbest_states_total{source="unknown"}'] >= 1
    assert grown['nextbest_feature_values_total{kind="all"}'] >= 2 * 4 * len(record["slate_features"][0])
    # The shop's clock stands an hour after its data end: so old are its bundle and its states, at least.
    assert after['nextbest_age_seconds{of="champion"}'] >= 3_600
    assert 0 <= after['nextbest_age_seconds{of="journal"}'] < 600


def test_labels_come_from_the_table_alone(served):
    for made_up in ("/v1/made-up-1", "/made-up-2", "/v1/decisions/made-up-3"):
        served.http.get(made_up)
        served.http.request("PURGE", made_up)
    text = served.http.get("/metrics").text
    assert "made-up" not in text
    assert "PURGE" not in text
    assert re.search(r'nextbest_requests_total\{route="nowhere",status="404"\} [1-9]', text)
