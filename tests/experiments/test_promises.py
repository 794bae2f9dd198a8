"""What `make bench-stats` tries 10,000 times, tried sixty times: levels, peeks, ratios, CUPED, power."""

from __future__ import annotations

from benchmarks.experiments.promises import promises


def test_experiments_keep_what_they_promise() -> None:
    broken = [f"{own.subject}, {own.case}: {own.measured}" for own in promises(60, 7) if not own.kept]
    assert broken == []
