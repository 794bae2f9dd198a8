"""What is told of an agent's decision that an earlier version of the service wrote."""

from __future__ import annotations

from recommender.agents.record import AGENT_DECISION_SCHEMA
from services.decided import DECIDED, decision_answer, decision_record

EARLIER = {
    name: None for name in AGENT_DECISION_SCHEMA.names if name not in ("variant", "variant_share")
} | {"decision_id": "d1", "send_at": 1_780_272_000_000, "features": '{"age":30}', "template": "77"}  # fmt: skip


def test_what_was_not_written_then_is_null_now() -> None:
    answer = decision_answer(EARLIER)
    assert answer.keys() == {*DECIDED, "send_at"}
    assert (answer["variant"], answer["send_at"]) == (None, "2026-06-01T00:00:00.000+00:00")
    record = decision_record(EARLIER, sees_persons=True)
    assert record.keys() == {"recorded", "template", *AGENT_DECISION_SCHEMA.names}
    assert "features" not in decision_record(EARLIER, sees_persons=False)
