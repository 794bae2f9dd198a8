"""Great Expectations' verdict on marts as blocking asset checks; the suites themselves are in `monitoring`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import dagster as dg

from monitoring.slack_messages import validation_stopped
from monitoring.validation import validate
from orchestration.alerts import slack_of
from orchestration.resources import Ring
from orchestration.tables import read_as_of_ms

__all__ = ["CHECK_NAME", "fitness_specs", "judge_tables"]

CHECK_NAME = "great_expectations"


def fitness_specs(tables: Sequence[str]) -> list[dg.AssetCheckSpec]:
    """One blocking check a table. They are judged together, so each also waits for the others' tables."""
    return [
        dg.AssetCheckSpec(
            CHECK_NAME, asset=table, blocking=True, additional_deps=[other for other in tables if other != table]
        )
        for table in tables
    ]


def judge_tables(ring: Ring, tables: Sequence[str], run_id: str) -> Iterator[dg.AssetCheckResult]:
    """Validate the tables as of the cut; what is not fit stops everything downstream, and Slack hears of it."""
    result = validate(ring.workspace, read_as_of_ms(ring.workspace), tables)
    docs = str(result.docs_path)
    if result.failures:
        sentences = [str(failure) for failure in result.failures]
        slack_of(ring.workspace).send(validation_stopped(sentences, run_id, docs))
    for table in tables:
        failures = [str(failure) for failure in result.failures if failure.table == table]
        yield dg.AssetCheckResult(
            passed=not failures,
            asset_key=table,
            check_name=CHECK_NAME,
            severity=dg.AssetCheckSeverity.ERROR,
            description="; ".join(failures) or "every expectation met",
            metadata={"data_docs": dg.MetadataValue.url(f"file://{docs}"), "rows": result.rows[table]},
        )
