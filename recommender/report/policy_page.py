"""The judgement of a policy on a log as one HTML page for those who decide. No figure is computed."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from recommender.report.page import STYLE
from recommender.report.plots import Row, bar_plot, interval_plot
from recommender.report.sections import section, table

__all__ = ["policy_page"]

WORDS = {"promote": "promote", "keep": "keep the best single action", "not_enough_evidence": "not enough evidence"}
OURS, OTHERS = "#2563eb", "#64748b"
NAMES = {
    "dr": "doubly robust: the log's rewards, weighted, with a model of rewards that takes out noise",
    "snips": "self-normalised: the log's rewards, weighted, over the sum of the weights",
    "ips": "inverse propensity: the log's rewards, weighted; simple, and the noisiest",
}


def policy_page(report: Mapping[str, Any]) -> str:
    """HTML of `Evaluation.as_json` with the name of the `reward`; self-contained."""
    good = report["verdict"] == "promote"
    badge = f'<span class="verdict{"" if good else " open"}">{escape(WORDS[report["verdict"]])}</span>'
    header = (
        f"<header><h1>A policy judged by what another one did</h1><p>{report['rows']:,} logged decisions; what each "
        f"policy would have earned in {escape(report['reward'])} a decision, had it decided.</p>{badge}"
        f"<p>{escape(report['sentence'])}</p></header>"
    )
    parts = [header, *(_estimates(report, name) for name in ("dr", "snips", "ips")), _gains(report), _support(report)]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A policy judged</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>'
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def _policies(report: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {"this policy": report, **report["fixed"], "uniform": report["uniform"]}


def _estimates(report: Mapping[str, Any], name: str) -> str:
    rows = [
        _row(label, own[name], OURS if label == "this policy" else OTHERS) for label, own in _policies(report).items()
    ]
    rows.append(_row("the log itself", report["logged"], OTHERS))
    return section(name.upper(), f"{NAMES[name].capitalize()}.", interval_plot(rows, name))


def _gains(report: Mapping[str, Any]) -> str:
    rows = [
        _row(f"over {report['best_fixed']} for all", report["gain_over_best_fixed"], OURS),
        _row("over the log", report["gain_over_log"], OURS),
    ]
    words = "Decision by decision, doubly robust. The line holds the true gain in 95 of 100 such logs."
    return section("What the policy gains", words, bar_plot(rows, "gains"))


def _support(report: Mapping[str, Any]) -> str:
    rows = [
        [
            label,
            "yes" if own["support"]["supported"] else "; ".join(own["support"]["reasons"]),
            f"{own['ess']:,.0f}",
            f"{own['support']['greatest_weight']:,.1f}",
            f"{own['support']['covered']:.1%}",
        ]
        for label, own in _policies(report).items()
    ]
    words = "Where a policy does what the log never did, nothing can be said about it, and nothing is."
    header = ["policy", "supported", "worth rows", "greatest weight", "covered"]
    return section("What the log can tell about", words, table(header, rows))


def _row(label: str, value: Mapping[str, Any] | None, colour: str) -> Row:
    if value is None:
        return Row(label, note="the log cannot tell")
    low, high = value["interval"]
    return Row(label, value["value"], low, high, colour)
