"""What an agent does and brings as one HTML page for the people whose messages it sends. No figure is computed.

It reads `find_insights`' values and a readout's, so that a page can be made again from what was kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from recommender.report.agent_words import Words, day, reason_words, three_sentences
from recommender.report.marks import MARKS_STYLE, count_rows, dot_rows, heat_table, part_bars
from recommender.report.page import STYLE
from recommender.report.plots import Row, line_plot
from recommender.report.policies_section import policies_section
from recommender.report.sections import section, table

__all__ = ["agent_page"]

GOOD, BAD, PLAIN, OURS = "#0d9488", "#dc2626", "#7c8aa0", "#3b82f6"
COLOURS = ("#3b82f6", "#d97706", "#0d9488", "#a855f7", "#dc2626", "#64748b", "#0891b2", "#84cc16", "#db2777", "#78716c")
HUES = "13,148,136", "220,38,38"
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
LOOKS = 10  # days on the axis of the picture; the table holds all of them

Figures = Mapping[str, Any]


def agent_page(insights: Figures, readout: Figures | None) -> str:
    """HTML of `find_insights`' values and of the readout of the agent's own experiment, where it has one;
    self-contained: no script, no address."""
    words = Words.of(insights)
    makers = (_over_time, _policies, _segments, _moments, _places, _fatigue, _sent, _silence, _prices)
    parts = [make(insights, readout, words) for make in makers]
    title = f"What the agent {insights['agent']} does and brings"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{STYLE}{MARKS_STYLE}{_OWN_STYLE}</style></head>"
        f"<body><main>{_header(insights, readout, words)}{''.join(parts)}{_method(insights)}</main></body></html>\n"
    )


_OWN_STYLE = """
.three{margin:16px 0 0;padding:0;list-style:none} .three li{font-size:18px;line-height:1.45;color:var(--ink);
margin:0 0 12px;padding-left:16px;border-left:4px solid var(--grid)} .three li.yes{border-color:#0d9488}
h3{font-size:15px;margin:20px 0 2px} .quiet{color:var(--muted);font-size:14px}
"""


def _header(insights: Figures, readout: Figures | None, words: Words) -> str:
    told = three_sentences(insights, readout, words)
    lines = "".join(f"<li{' class=yes' if proven else ''}>{escape(text)}</li>" for text, proven in told)
    return (
        f"<header><h1>The agent {escape(str(insights['agent']))}</h1>"
        f'<p class="quiet">{escape(words.goal)}</p><ul class="three">{lines}</ul></header>'
    )


def _over_time(insights: Figures, readout: Figures | None, words: Words) -> str:
    title = "What it brings, day by day"
    days = [] if readout is None else readout["days"]
    arms = [] if readout is None else [own["arm"] for own in readout["comparisons"]]
    known = [place for place, own in enumerate(days) if all(_is_known(own["arms"][arm]) for arm in arms)]
    if readout is None or len(known) < 2:
        return section(title, "Nothing to draw yet: it takes a holdout, and days on which both arms did something.")
    shown = sorted({known[round(place * (len(known) - 1) / (LOOKS - 1))] for place in range(LOOKS)})
    series = {arm: [_always(arm, days[place]["arms"][arm]) for place in shown] for arm in arms}
    places = [float(place + 1) for place in shown]
    plot = line_plot(places, series, COLOURS, f"more than the {readout['control']}, a person, by day", "")
    rows = [
        [days[place]["day"], arm, f"{own['people']:,.0f}", _span(own, "always_")]
        for place in known
        for arm, own in days[place]["arms"].items()
    ]
    return section(
        title,
        f"The difference in {words.unit} a person since the first day, against people of the {readout['control']}, "
        "with the interval that holds however often one looks.",
        f"<figure>{plot}<figcaption>Day of the experiment</figcaption></figure>",
        table(["day", "arm", "people", "difference a person"], rows, "The figures of all days"),
    )


def _policies(insights: Figures, readout: Figures | None, words: Words) -> str:
    return policies_section(readout, words)


def _segments(insights: Figures, readout: Figures | None, words: Words) -> str:
    blocks = []
    for part in insights["segments"]:
        question = (
            f"A message instead of none: {words.per}"
            if part["question"] == "message"
            else f"Each message instead of the others: {words.per}"
        )
        groups: dict[str, list[Row]] = {"everybody": _effects(part["overall"], words, part)}
        for group in part["groups"] if len(part["groups"]) > 1 else []:
            badge = '<span class="badge">proven different</span>' if group["differs"]["is_proven"] else ""
            size = f"<small>{group['share']:.0%} of the people judged</small>"
            groups[f"{escape(group['words'])} {size}{badge}"] = _effects(group["effects"], words, part)
        blocks.append(f"<h3>{escape(question)}</h3>{dot_rows(groups, question, words.number)}")
    if not blocks:
        blocks = ['<p class="quiet">Not enough evidence yet: it takes people with and without a message.</p>']
    return section(
        "What works for whom",
        "Groups were found on half of the people and are judged on the other half, so they are not flattered. The line "
        "holds the true figure in 95 of 100 such cases; green and red are proven, counting how many questions were "
        "asked. A group without a badge may be like everybody else.",
        *blocks,
    )


def _moments(insights: Figures, readout: Figures | None, words: Words) -> str:
    found = insights["windows"]
    title = "When people respond"
    if found is None:
        return section(title, "Not enough evidence yet: it takes people with and without a message.")
    rows = [_row(name, own, words) for name, own in zip(found["names"], found["windows"], strict=True)]
    blocks = [f"<h3>By window</h3>{dot_rows({'': rows}, 'gain by window', words.number)}"]
    cells = {
        WEEKDAYS[number]: [_cell(own, words) for own in week]
        for number, week in enumerate(found["weekdays"])
        if any(own is not None for own in week)
    }
    if cells:
        blocks.append(f"<h3>By weekday and window, local time</h3>{heat_table(found['names'], cells, HUES)}")
    if len(insights["hours"]) > 1:
        rows = [_row(f"{own['hour']:02}–{own['hour'] + 1:02}", own, words) for own in insights["hours"]]
        blocks.append(f"<h3>By hour, local time</h3>{dot_rows({'': rows}, 'gain by hour', words.number)}")
    return section(
        title,
        f"What a message gains over none: {words.per}. The agent draws the moment, so the people of one hour are like "
        "those of another; each is weighed by its chance. What has a colour in the table has an interval without zero.",
        *blocks,
    )


def _places(insights: Figures, readout: Figures | None, words: Words) -> str:
    groups = {
        "by time zone" if part["column"] == "timezone" else f"by {part['column']}": [
            _row(own["name"], own, words, GOOD if own["differs"] and own["value"] is not None else PLAIN)
            for own in part["places"]
        ]
        for part in insights["places"]
    }
    if insights["channels"]:
        groups = {"by channel": [_row(own["channel"], own, words) for own in insights["channels"]], **groups}
    if not groups:
        return ""
    return section(
        "Where people respond",
        f"What a message gains over none: {words.per}. Channels were drawn, places were not: people of one place may "
        "differ in more than that. Green: proven to differ from all others.",
        dot_rows({escape(name): rows for name, rows in groups.items()}, "gain by channel and place", words.number),
    )


def _fatigue(insights: Figures, readout: Figures | None, words: Words) -> str:
    blocks, said = [], []
    for curve in insights["fatigue"]:
        seen = [own for own in curve["bins"] if own["messages"]]
        if len(seen) < 2:
            continue
        gains = [_row(own["label"], own["gain"], words) for own in seen]
        groups = {f"{escape(curve['title'].capitalize())} <small>{escape(words.per)}</small>": gains}
        left = [_left(own) for own in seen if own["unsubscribes"] is not None]
        if left:
            groups["Unsubscribes that a message brings <small>per 100 messages</small>"] = left
        blocks.append("".join(dot_rows({name: rows}, curve["title"], words.number) for name, rows in groups.items()))
        change = curve["change"]
        if change is not None and change["is_proven"]:
            less = "less" if change["value"] < 0 else "more"
            said.append(
                f"With {change['to']} {curve['title']} a message gains {less} than with {change['from']}: "
                f"{words.span(change)} {words.per}."
            )
    if not blocks:
        return section("Do people tire?", "Not enough evidence yet: it takes messages that came close to each other.")
    return section(
        "Do people tire?",
        " ".join(said) or "Nothing is proven so far: the intervals of few and of many messages overlap.",
        *blocks,
        '<p class="quiet">Only messages of the same day are compared, and people of each count are weighed to be like '
        "all who were written to, as far as the agent can see them.</p>",
    )


def _sent(insights: Figures, readout: Figures | None, words: Words) -> str:
    periods, actions = insights["activity"]["periods"], list(insights["activity"]["actions"])
    if not actions:
        return section("What was sent", "Nothing so far.")
    colours = {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(sorted(actions))}
    bars = {_from(own): own["actions"] for own in periods}
    rows = [[_from(own), *(f"{own['actions'].get(name, 0):,}" for name in colours)] for own in periods]
    return section(
        "What was sent",
        f"Messages of each {_length(periods[0]['days'])}, by action: how the agent's choice moved as it learnt.",
        part_bars(bars, colours, "messages by action"),
        table(["from", *colours], rows, "The figures"),
    )


def _silence(insights: Figures, readout: Figures | None, words: Words) -> str:
    counts = {reason_words(name): count for name, count in insights["activity"]["reasons"].items()}
    if not counts:
        return ""
    return section(
        "Why nothing was sent", "Decisions to say nothing, by the reason.", count_rows(counts, "reasons", PLAIN)
    )


def _prices(insights: Figures, readout: Figures | None, words: Words) -> str:
    trying, alone, told = insights["trying"], insights["left_alone"], []
    if trying is not None:
        cost = "not enough evidence of what it cost" if trying["value"] is None else f"it cost {words.span(trying)}"
        told.append(
            ["Trying", f"{trying['tried']:.0%} of the messages were not what was thought best; {cost} {words.per}."]
        )
    if alone is not None:
        lost = "not enough evidence of" if alone.get("value") is None else words.span(alone)
        told.append(
            [
                "Leaving alone",
                f"{alone['messages']:,} messages were saved ({alone['share']:.0%}), to people whom a message would "
                f"gain {lost} {words.per}.",
            ]
        )
    if not told:
        return ""
    return section("What restraint and trying cost", "Both are the price of knowing.", table(["", ""], told))


def _method(insights: Figures) -> str:
    days = insights["goal"]["window_days"]
    rows = [
        ["decisions", f"{insights['closed_decisions']:,} that happened {days:g} days ago or more; younger ones wait."],
        ["gain", "Of a message over none, costs taken off: what people did in those days after the decision, doubly "
         "robust (each message weighed by its chance, with a model of rewards fitted on other people)."],
        ["interval", "95 %, Student's; the decisions of one person count as one draw."],
        ["proven",
         "By Holm over all groups of the page: at most one page in twenty calls anything proven that is not."],
        ["too few", "Fewer than a dozen people on whom a figure rests: it is not shown."],
        ["messages close by", "A decision is judged with those around it: a gain is that of a message among the others "
         "the person gets."],
    ]  # fmt: skip
    if insights["share_of_people"] < 1.0:
        rows.append(["people", f"{insights['share_of_people']:.0%} of them, drawn by a hash of their ids."])
    return section("How this was measured", "The words of this page.", table(["", ""], rows))


def _effects(effects: Figures, words: Words, part: Figures) -> list[Row]:
    names = {"message": "a message"}
    if all(own["value"] is None for own in effects.values()):
        return [Row("", note="not enough evidence")]
    return [
        _row(names.get(name, name), own, words, _proven(own) if "is_proven" in own else OURS)
        for name, own in effects.items()
    ]


def _proven(own: Figures) -> str:
    if not own["is_proven"] or own["value"] is None:
        return PLAIN
    return GOOD if own["value"] > 0 else BAD


def _row(label: str, own: Figures, words: Words, colour: str = OURS) -> Row:
    if own["value"] is None:
        return Row(label, note="not enough evidence")
    value, low, high = (own[name] * words.scale for name in ("value", "low", "high"))
    return Row(label, value, low, high, colour)


def _left(own: Figures) -> Row:
    found = own["unsubscribes"]
    if found["value"] is None:
        return Row(own["label"], note="not enough evidence")
    value, low, high = (100 * found[name] for name in ("value", "low", "high"))
    return Row(own["label"], value, low, high, BAD)


def _cell(own: Figures | None, words: Words) -> tuple[float | None, str, str]:
    if own is None:
        return None, "", ""
    if own["value"] is None:
        return None, "?", "too few"
    value = words.scale * own["value"]
    is_told = own["low"] > 0 or own["high"] < 0  # a colour would be read as a finding
    return (
        value if is_told else None,
        words.number(value),
        f"{words.number(words.scale * own['low'])} to {words.number(words.scale * own['high'])}",
    )


def _always(arm: str, own: Figures) -> Row:
    return Row(arm, own["difference"], own["always_low"], own["always_high"], OURS)


def _is_known(own: Figures) -> bool:
    return all(own[name] is not None for name in ("difference", "always_low", "always_high"))


def _span(own: Figures, prefix: str) -> str:
    return Row("", own["difference"], own[f"{prefix}low"], own[f"{prefix}high"]).text


def _from(period: Figures) -> str:
    return day(period["from"])


def _length(days: int) -> str:
    return {1: "day", 7: "week", 91: "quarter"}.get(days, f"{days} days")
