"""The one place that talks to Great Expectations: runs a suite on batches and builds its Data Docs.

No expectation is chosen here. The library is imported inside the functions: it takes 4 to 9 s.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from recommender.errors import IntegrityError
from recommender.workspace import replace_folder

__all__ = ["Batch", "Check", "Outcome", "run_checks"]


@dataclass(frozen=True)
class Check:
    """One expectation: a class name of `great_expectations.expectations`, its arguments, and why it is there."""

    kind: str
    arguments: Mapping[str, Any]
    reason: str


@dataclass(frozen=True)
class Batch:
    """Rows and what is expected of them; `name` is the page's name in the Data Docs."""

    name: str
    frame: pd.DataFrame
    checks: Sequence[Check]


@dataclass(frozen=True)
class Outcome:
    """What became of one check: `result` is Great Expectations' own (counts, examples)."""

    batch: str
    check: Check
    success: bool
    result: Mapping[str, Any]


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
        _make_self_contained(Path(aside) / "site")
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
    run = context.checkpoints.add(checkpoint).run(batch_parameters={"dataframe": batch.frame})
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
    return Outcome(batch.name, check, bool(found["success"]), found["result"])


def _exceptions(info: Mapping[str, Any]) -> list[str]:
    """Messages of raised exceptions: one entry, or one a metric."""
    entries = [info] if "raised_exception" in info else list(info.values())
    return [str(entry["exception_message"]) for entry in entries if entry.get("raised_exception")]


_REMOTE = re.compile(
    r"""<script\b[^>]*\bsrc=["']https?:[^>]*>\s*</script>|<(?:link|img)\b[^>]*\b(?:href|src)=["']https?:[^>]*>""",
    re.IGNORECASE,
)
_STYLE = """<style>
body { font: 14px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 }
td, th { border-bottom: 1px solid #ddd; padding: .4rem; text-align: left; vertical-align: top }
.modal, .d-none, [id*="cta"], [id*="walkthrough"] { display: none }
.fa-check-circle::before { content: "✓"; color: #188038 } .fa-times::before { content: "✗"; color: #c5221f }
</style>"""


def _make_self_contained(site: Path) -> None:
    """Take out what the pages would load from elsewhere (24 addresses a page, a tracker's logo among them).

    A page that calls out when somebody opens it would break the promise that nothing phones home.
    """
    for page in site.rglob("*.html"):
        text = _REMOTE.sub("", page.read_text(encoding="utf-8"))
        page.write_text(text.replace("</head>", f"{_STYLE}</head>", 1), encoding="utf-8")
