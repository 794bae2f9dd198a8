"""The one place that talks to Great Expectations: runs a suite on batches and builds its Data Docs.

No expectation is chosen here. The library is imported inside the functions: it takes 4 to 9 s.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from monitoring.gx_pages import Line, stand_alone, write_index
from monitoring.harmless import harmless_frame
from recommender.errors import IntegrityError
from recommender.workspace import replace_folder

__all__ = ["Batch", "Check", "Outcome", "run_checks"]

_SHOWN = 5  # examples in a sentence


@dataclass(frozen=True)
class Check:
    """One expectation: a class name of `great_expectations.expectations`, its arguments, and why it is there."""

    kind: str
    arguments: Mapping[str, Any]
    reason: str


@dataclass(frozen=True)
class Batch:
    """Rows and what is expected of them; `name` is the page's name in the Data Docs.

    `is_measures`: the frame is one row of numbers that describe a table, and is reported by value.
    """

    name: str
    frame: pd.DataFrame
    checks: Sequence[Check]
    is_measures: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of one check: `value` of the single row of a batch that has one, else the share outside."""

    batch: str
    check: Check
    success: bool
    result: Mapping[str, Any]
    value: float | None

    def line(self) -> Line:
        """The check as people read it."""
        return Line(
            self.batch,
            str(self.check.arguments["column"]),
            self._found(),
            self._expected(),
            self.check.reason,
            self.success,
        )

    def _found(self) -> str:
        if self.value is not None:
            return f"{round(self.value, 4):,.6g}"
        share, examples = self.result.get("unexpected_percent") or 0, self.result["partial_unexpected_list"][:_SHOWN]
        return f"outside in {share:.3g} % of the sampled rows, for example {examples}" if examples else "as expected"

    def _expected(self) -> str:
        low, high = (self.check.arguments.get(name) for name in ("min_value", "max_value"))
        if low is None and high is None:
            return ", ".join(f"{name} {value}" for name, value in self.check.arguments.items() if name != "column")
        if low == high:
            return f"{low:,g}"
        if high is None:
            return f"at least {low:,g}"
        return f"at most {high:,g}" if low is None else f"{low:,g} to {high:,g}"


def run_checks(batches: Sequence[Batch], docs: Path) -> list[Outcome]:
    """Run every check on its batch and write the pages to the folder `docs` (index.html), replacing older ones.

    Raises IntegrityError when an expectation raised: `success` would be false then as if the data were bad.
    """
    import great_expectations

    docs.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=docs.parent, prefix=".data_docs_") as aside:
        context = _context(great_expectations, Path(aside) / "site")
        outcomes = [outcome for batch in batches for outcome in _run(great_expectations, context, batch)]
        context.build_data_docs()
        stand_alone(Path(aside) / "site")
        write_index(Path(aside) / "site", [outcome.line() for outcome in outcomes])
        replace_folder(Path(aside) / "site", docs)
    return outcomes


def _context(gx: Any, site: Path) -> Any:
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    for name in list(context.get_site_names()):  # the default site writes into a temporary folder
        context.delete_data_docs_site(name)
    store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(site)}
    index = {"class_name": "DefaultSiteIndexBuilder"}
    config = {"class_name": "SiteBuilder", "site_index_builder": index, "store_backend": store}
    context.add_data_docs_site(site_name="nextbest", site_config=config)
    context.data_sources.add_pandas("marts")
    return context


def _run(gx: Any, context: Any, batch: Batch) -> list[Outcome]:
    asset = context.data_sources.get("marts").add_dataframe_asset(batch.name)
    whole = asset.add_batch_definition_whole_dataframe("whole")
    suite = gx.ExpectationSuite(name=batch.name)
    for place, check in enumerate(batch.checks):
        made = getattr(gx.expectations, check.kind)
        suite.add_expectation(made(**check.arguments, meta={"check": place}, notes=check.reason))
    definition = gx.ValidationDefinition(name=batch.name, data=whole, suite=context.suites.add(suite))
    checkpoint = gx.Checkpoint(name=batch.name, validation_definitions=[context.validation_definitions.add(definition)])
    run = context.checkpoints.add(checkpoint).run(batch_parameters={"dataframe": harmless_frame(batch.frame)})
    (validation,) = run.run_results.values()
    outcomes = [_outcome(batch, found.to_json_dict()) for found in validation.results]
    return sorted(outcomes, key=lambda outcome: batch.checks.index(outcome.check))


def _outcome(batch: Batch, found: Mapping[str, Any]) -> Outcome:
    check = batch.checks[found["expectation_config"]["meta"]["check"]]
    for message in _exceptions(found.get("exception_info") or {}):
        raise IntegrityError(
            f"{check.kind} on {batch.name} ({dict(check.arguments)}) stopped with: {message}",
            "an expectation that runs, whatever the data.",
            "correct the expectation, or the type of the column that it reads.",
        )
    single = float(batch.frame[check.arguments["column"]].iloc[0]) if batch.is_measures else None
    return Outcome(batch.name, check, bool(found["success"]), found["result"], single)


def _exceptions(info: Mapping[str, Any]) -> list[str]:
    """Messages of raised exceptions: one entry, or one a metric."""
    entries = [info] if "raised_exception" in info else list(info.values())
    return [str(entry["exception_message"]) for entry in entries if entry.get("raised_exception")]
