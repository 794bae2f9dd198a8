"""The evaluation of a challenger as one HTML page for the people who decide what a shop shows. Figures come as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any

from recommender.report.sections import EVIDENCE_SECTIONS, STUDY_SECTIONS, section, table

__all__ = ["evaluation_page"]

STYLE = """
:root{color-scheme:light dark;--page:#f8fafc;--card:#fff;--ink:#0f172a;--text:#334155;--muted:#64748b;--grid:#e2e8f0;
--tile:#f1f5f9;--link:#1d4ed8;--good:#0f766e}
@media(prefers-color-scheme:dark){:root{--page:#0b1120;--card:#131c2e;--ink:#e8edf5;--text:#c3cede;--muted:#8b9ab0;
--grid:#2b3850;--tile:#1c2740;--link:#8ab4ff;--good:#2dd4bf}}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:860px;margin:0 auto;padding:32px 20px 64px}
header,section{background:var(--card);border:1px solid var(--grid);border-radius:12px;padding:24px 28px;margin:0 0 20px}
h1{font-size:26px;margin:0 0 4px} h2{font-size:19px;margin:0 0 4px} p{margin:0 0 14px;color:var(--text)}
.verdict{display:inline-block;border-radius:999px;padding:3px 14px;font-weight:600;color:#fff;background:#15803d}
.verdict.no{background:#b91c1c} .verdict.open{background:#475569}
.tiles{display:flex;flex-wrap:wrap;gap:12px;margin:18px 0}
.tile{flex:1 1 150px;background:var(--tile);border-radius:10px;padding:12px 16px}
.tile b{display:block;font-size:26px;line-height:1.2} .tile span{color:var(--muted);font-size:13px}
figure{margin:0 0 18px} figcaption{color:var(--muted);font-size:14px;margin-bottom:4px}
svg{width:100%;height:auto;display:block} svg text{font:13px system-ui,sans-serif}
table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:5px 10px 5px 0;border-bottom:1px solid var(--grid);vertical-align:top}
th{color:var(--muted)} li{margin-bottom:4px;color:var(--text)}
summary{cursor:pointer;color:var(--link);margin-bottom:8px} details{overflow-x:auto}
@media(max-width:640px){main{padding:12px 10px 40px} header,section{padding:18px 16px} figure{overflow-x:auto}
figure svg{min-width:600px}}
"""


def evaluation_page(evidence: Mapping[str, Any], verdict: Mapping[str, Any], study: Mapping[str, Any] | None) -> str:
    """HTML of the evidence (`Evidence.as_json` with `version`), the gate's verdict on it, and a study of it if any."""
    parts = [_header(evidence, verdict), *(make(evidence) for make in EVIDENCE_SECTIONS)]
    if study is None:
        parts.append(
            section(
                "What each part is worth, and what age costs",
                "These take minutes of training and were not asked for yet: run `nextbest study`, or materialise "
                "`ranking_study` in Dagster.",
            )
        )
    else:
        parts += [make(study) for make in STUDY_SECTIONS]
    parts.append(_method(evidence))
    title = f"Evaluation of {evidence['version']}"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>'
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def _header(evidence: Mapping[str, Any], verdict: Mapping[str, Any]) -> str:
    ours = evidence["figures"]["challenger"]["repeat"]
    simple = evidence["figures"]["popularity"]["repeat"]
    people, day = evidence["users"]["repeat"], _day(evidence["holdout_ms"])
    tiles = (
        (f"{ours['hit@10']['mean']:.0%}", "of people found something of theirs among the first ten"),
        (f"{ours['recall@20']['mean']:.0%}", f"of what they chose was in twenty; best sellers: {_share(simple)}"),
        (f"{ours['ndcg@10']['mean']:.3f}", f"ndcg@10; best sellers: {simple['ndcg@10']['mean']:.3f}"),
        (f"{evidence['coverage']['challenger']:.0%}", "of the catalogue was in somebody's list"),
    )
    promoted = verdict["promote"]
    badge = f'<span class="verdict{"" if promoted else " no"}">{"may be promoted" if promoted else "refused"}</span>'
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in verdict["reasons"])
    return (
        f"<header><h1>Evaluation of challenger {escape(str(evidence['version']))}</h1>"
        f"<p>{people:,} people known on {day} came back within {evidence['horizon_days']:.3g} days. Their lists were "
        f"made with nothing known after {day}, and compared with what they then chose. "
        f"Declared aim: <b>{escape(str(evidence['objective']['kpi']))}</b>.</p>{badge}"
        f'<div class="tiles">{"".join(_tile(*tile) for tile in tiles)}</div><ul>{reasons}</ul></header>'
    )


def _share(figures: Mapping[str, Any]) -> str:
    return f"{figures['recall@20']['mean']:.0%}"


def _tile(figure: str, words: str) -> str:
    return f'<div class="tile"><b>{escape(figure)}</b><span>{escape(words)}</span></div>'


def _method(evidence: Mapping[str, Any]) -> str:
    met = evidence["contest"]
    champion = evidence["champion"]
    if met is not None:
        champion += f" They met at {len(met['cuts_ms'])} past cuts: {', '.join(_day(cut) for cut in met['cuts_ms'])}."
    rows = [
        ["whole catalogue", "Every item can be listed and missed; no sampled negatives."],
        ["people", "Those known at the cut who came back in the days after; each counts once, heavy or light."],
        ["intervals", "95 % percentile bootstrap over people; differences are taken person by person first."],
        [
            "against the champion",
            "90 %, so that one in twenty equally bad challengers would pass; weeks drawn together.",
        ],
        ["recall@20", "Of the things a person chose, the share that stood in their list of twenty."],
        ["ndcg@10", "Things chosen count more the higher they stand; 1 when all on top."],
        ["hit@10", "1 when anything chosen stood among the first ten."],
        ["champion", champion],
    ]
    return section("How this was measured", "The words of this page.", table(["", ""], rows))


def _day(moment_ms: int) -> str:
    return datetime.fromtimestamp(moment_ms / 1000, UTC).strftime("%-d %B %Y")
