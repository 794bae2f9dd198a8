"""An experiment's readout as one HTML page for those who decide. No figure is computed."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from recommender.report.page import STYLE
from recommender.report.plots import Row, bar_plot, interval_plot, line_plot
from recommender.report.sections import section, table

__all__ = ["experiment_page"]

WORDS = {
    "better": "proven better",
    "worse": "proven worse",
    "not_enough_evidence": "not enough evidence",
    "refused": "not read: the arms are broken",
}
BADGES = {"better": "", "worse": " no", "refused": " no"}  # what is open is neither: red would be read as harm
COLOURS = {"better": "#0d9488", "worse": "#dc2626", "no": "#64748b"}
LINES = ("#2563eb", "#d97706", "#0d9488", "#9333ea", "#dc2626", "#475569")
LOOKS = 8  # days on the axis of the plot; the table holds all of them


def experiment_page(
    report: Mapping[str, Any], title: str = "", lead: str = "", beside: Mapping[str, Mapping[str, Any]] | None = None
) -> str:
    """HTML of `read_out`'s report; self-contained. `title` and `lead` say what was tried where the outcome's name does
    not; `beside`: further readouts of the same people by their headings: their differences, and what they have by day
    and by segment.
    """
    colour = BADGES.get(report["verdict"], " open")
    badge = f'<span class="verdict{colour}">{escape(WORDS[report["verdict"]])}</span>'
    header = (
        f"<header><h1>{escape(title) or 'What the experiment says about ' + escape(report['outcome'])}</h1><p>"
        f"{escape(lead)} {report['people']:,} people, each arm against {escape(report['control'])}.</p>"
        f"{badge}<p>{escape(report['sentence'])}</p>{_cautions(report)}</header>"
    )
    parts = [header]
    if report["comparisons"]:
        parts += [_effects(report), _arms(report)]
    others = dict(beside or {})
    short = [heading for heading, other in others.items() if not (other["days"] or other["segments"])]
    parts += [_beside(heading, others.pop(heading)) for heading in short]
    parts += _details(report)
    for heading, other in others.items():
        parts += [_beside(heading, other), *_details(other)]
    parts += [_ratio(report), _method(report)]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>An experiment read</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>'
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def _cautions(report: Mapping[str, Any]) -> str:
    return "".join(f"<p><b>Mind:</b> {escape(caution)}</p>" for caution in report["cautions"])


def _effects(report: Mapping[str, Any]) -> str:
    one = [_row(own["arm"], own, COLOURS[own["proven"]]) for own in report["comparisons"]]
    always = [_row(own["arm"], own, COLOURS["no"], "always_") for own in report["comparisons"]]
    rows = [
        [
            own["arm"],
            _span(own["lift"], own["lift_low"], own["lift_high"], "+.1%"),
            f"{own['p']:.2g}",
            f"{own['p_holm']:.2g}",
            f"{own['variance_saved']:.0%}",
            _figure(own["detectable"]),
        ]
        for own in report["comparisons"]
    ]
    header = ["arm", "lift", "p", "p among all arms (Holm)", "noise taken out", "difference seen 4 times in 5"]
    unit = report["denominator"] or "person"
    return section(
        f"Difference in {report['outcome']} per {unit}",
        f"Above: for one look, at a moment that was fixed before ({report['confidence']:.0%}). Below: for whoever "
        "looks as often as they like, and stops when they like; it is wider, and it is the one to stop by.",
        bar_plot(one, "difference, one look"),
        bar_plot(always, "difference, every look"),
        table(header, rows),
    )


def _beside(heading: str, report: Mapping[str, Any]) -> str:
    one = [_row(own["arm"], own, COLOURS[own["proven"]]) for own in report["comparisons"]]
    always = [_row(own["arm"], own, COLOURS["no"], "always_") for own in report["comparisons"]]
    plots = [bar_plot(one, "difference, one look"), bar_plot(always, "difference, every look")] if one else []
    rows = [
        [own["arm"], own["control"], _of(own, ""), _of(own, "always_"), _share(own["lift"])]
        for own in report["comparisons"]
    ]
    told = " ".join([report["sentence"], *report["cautions"], report["sample_ratio"]["sentence"]])
    columns = ["arm", "against", "one look", "every look", "lift"]
    return section(heading, told, *plots, *([table(columns, rows)] if rows else []))


def _details(report: Mapping[str, Any]) -> list[str]:
    """By day and by segment, where there is anything."""
    days = [_days(report)] if len(report["days"]) > 1 else []
    return [*days, *(_segments(report, arm, found) for arm, found in report["segments"].items())]


def _arms(report: Mapping[str, Any]) -> str:
    rows = [
        [name + (" (control)" if name == report["control"] else ""), f"{own['people']:,}", f"{own['value']:.4g}"]
        for name, own in report["arms"].items()
    ]
    return section("The arms", "As they are, before any adjustment.", table(["arm", "people", report["outcome"]], rows))


def _days(report: Mapping[str, Any]) -> str:
    days = report["days"]
    shown = sorted({round(place * (len(days) - 1) / (LOOKS - 1)) for place in range(LOOKS)})
    arms = list(report["arms"])
    arms.remove(report["control"])
    read = [place for place in shown if all(_known(days[place]["arms"][arm]) for arm in arms)]
    series = {arm: [_row(arm, days[place]["arms"][arm], LINES[0], "always_") for place in read] for arm in arms}
    colours = [LINES[place % len(LINES)] for place in range(len(arms))]
    plot = line_plot([place + 1 for place in read], series, colours, "difference by day", "") if read else ""
    rows = [
        [own["day"], arm, f"{found['people']:,.0f}", *(_of(found, prefix) for prefix in ("", "always_"))]
        for own in days
        for arm, found in own["arms"].items()
    ]
    return section(
        f"Day by day: {', '.join(arms)} against {report['control']}",
        "What somebody who looked at the end of each day had seen, with the interval that holds at every look.",
        plot,
        table(["day", "arm", "people", "one look", "every look"], rows, "All days"),
    )


def _segments(report: Mapping[str, Any], arm: str, found: list[Mapping[str, Any]]) -> str:
    blocks = []
    for column in found:
        rows = [
            Row(f"{own['level']} ({own['people']:,})", note="too few")
            if own["difference"] is None
            else _row(f"{own['level']} ({own['people']:,})", own, COLOURS[_side(own)])
            for own in column["levels"]
        ]
        differ = "differ" if column["differ"] else "are not proven to differ"
        caption = f"<b>{escape(column['segment'])}</b>: segments {differ} (p = {column['differ_p_holm']:.2g})"
        shrunk = [[own["level"], _figure(own["shrunk"])] for own in column["levels"]]
        blocks.append(f"<figure><figcaption>{caption}</figcaption>{interval_plot(rows, column['segment'])}</figure>")
        blocks.append(table(["segment", "difference to expect"], shrunk, "To expect, shrunk to the whole"))
    return section(
        f"{arm} against {report['control']}, by segment",
        "The best-looking of many segments looks better than it is: intervals share their error among all segments of "
        "this page, and what to expect is moved towards the common difference as far as chance explains the spread.",
        *blocks,
    )


def _ratio(report: Mapping[str, Any]) -> str:
    ratio = report["sample_ratio"]
    rows = [[arm, f"{count:,}", f"{ratio['expected'][arm]:,.0f}"] for arm, count in ratio["counts"].items()]
    return section("Do the arms have their people?", ratio["sentence"], table(["arm", "people", "expected"], rows))


def _method(report: Mapping[str, Any]) -> str:
    rows = [
        ["people", "A person counts once, however many rows they have; outcomes of a person are added up."],
        ["one look", "Welch's t; ratios by the delta method; several arms by Holm, intervals at the level Holm asks."],
        [
            "every look",
            "Asymptotic confidence sequence (Gaussian mixture, Waudby-Smith et al. 2024); arms share the error.",
        ],
    ]
    if report["covariate"]:
        told = f"CUPED: what the column {report['covariate']}, of before the experiment, explains is removed."
        rows.append(["noise taken out", told])
    return section("How this was measured", "The words of this page.", table(["", ""], rows))


def _row(label: str, own: Mapping[str, Any], colour: str, prefix: str = "") -> Row:
    low, high = own[f"{prefix}low"], own[f"{prefix}high"]
    if low is None or high is None:
        return Row(label, note="too few")
    return Row(label, own["difference"], low, high, colour)


def _known(own: Mapping[str, Any]) -> bool:
    return all(own[name] is not None for name in ("difference", "always_low", "always_high"))


def _side(own: Mapping[str, Any]) -> str:
    return "better" if own["low"] > 0 else "worse" if own["high"] < 0 else "no"


def _of(own: Mapping[str, Any], prefix: str) -> str:
    return _span(own["difference"], own[f"{prefix}low"], own[f"{prefix}high"], ".3g")


def _span(value: float | None, low: float | None, high: float | None, form: str) -> str:
    if value is None or low is None or high is None:
        return "unknown"
    return f"{value:{form}} [{low:{form}}, {high:{form}}]"


def _share(value: float | None) -> str:
    return "unknown" if value is None else f"{value:+.1%}"


def _figure(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g}"
