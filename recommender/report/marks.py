"""Pictures made of HTML that fit any width: dots with intervals, a table in colours, bars of parts. Words stay text, so
they can be read aloud and copied; what is shown is not known here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from math import isfinite

from recommender.report.plots import NO_BREAK, Row, ticks

__all__ = ["MARKS_STYLE", "count_rows", "dot_rows", "heat_table", "part_bars"]

MARKS_STYLE = """
.rows{display:grid;grid-template-columns:minmax(150px,32%) 1fr minmax(150px,22%);gap:3px 14px;align-items:center;
grid-auto-flow:dense;font-size:14px;margin:4px 0 6px;font-variant-numeric:tabular-nums}
.rows>.l{grid-column:1;text-align:right} .rows>.t,.rows>.a{grid-column:2}
.rows>.v{grid-column:3;white-space:nowrap} .rows .dim{color:var(--muted)}
.rows>.h{grid-column:1/-1;font-weight:600;margin-top:10px;padding-top:8px;border-top:1px solid var(--grid)}
.rows>.h small{font-weight:400;color:var(--muted)} .t{position:relative;height:24px}
.t i{position:absolute;top:0;bottom:0;border-left:1px solid var(--grid)} .t i.z{border-color:var(--muted)}
.t b{position:absolute;top:11px;height:2px;border-radius:1px} .t em{position:absolute;top:7px;width:10px;height:10px;
margin-left:-5px;border-radius:50%} .t s{position:absolute;top:5px;height:14px;border-radius:3px;opacity:.75}
.a{position:relative;height:20px;color:var(--muted);font-size:12px}
.a span{position:absolute;transform:translateX(-50%)}
.badge{display:inline-block;border-radius:999px;padding:0 9px;font-size:12px;font-weight:600;margin-left:6px;
border:1px solid currentColor;color:var(--good)} .badge.no{color:var(--muted)}
table.heat td{text-align:center;padding:9px 4px;border:2px solid var(--card);border-radius:6px}
table.heat th{text-align:center;font-weight:600} table.heat tbody th{text-align:left;white-space:nowrap}
table.heat small{display:block;opacity:.8;font-size:11px}
.parts{display:grid;grid-template-columns:max-content 1fr max-content;gap:5px 12px;align-items:center;font-size:14px;
font-variant-numeric:tabular-nums} .parts .p{display:flex;height:18px;border-radius:4px;overflow:hidden}
.key{display:flex;flex-wrap:wrap;gap:4px 16px;font-size:13px;color:var(--text);margin:0 0 10px}
.key i{display:inline-block;width:11px;height:11px;border-radius:3px;margin-right:6px}
@media(max-width:640px){.rows{grid-template-columns:1fr auto;gap:0 10px}.rows>.l{text-align:left}
.rows>.t,.rows>.a{grid-column:1/-1}.rows>.v{grid-column:2;text-align:right}
table.heat{font-size:12px} table.heat small{display:none}}
"""


def dot_rows(groups: Mapping[str, Sequence[Row]], title: str, form: Callable[[float], str]) -> str:
    """Dots at means, lines over intervals, on one axis that holds 0; a group's name (HTML) stands over its rows, and
    figures are said by `form`."""
    rows = [row for own in groups.values() for row in own]
    marks = ticks([0.0, *(value for row in rows for value in (row.low, row.high, row.mean) if isfinite(value))])

    def at(value: float) -> str:
        return f"{100 * (value - marks[0]) / (marks[-1] - marks[0]):.2f}%"

    lines = "".join(f'<i{" class=z" if mark == 0 else ""} style="left:{at(mark)}"></i>' for mark in marks)
    parts = []
    for name, own in groups.items():
        parts.append(f'<div class="h">{name}</div>' if name else "")
        for row in own:
            value = f'<div class="v{" dim" if row.note else ""}">{escape(_told(row, form))}</div>'
            parts.append(f'<div class="l">{escape(row.label)}</div>{value}')
            parts.append(f'<div class="t" aria-hidden="true">{lines}{_dot(row, at)}</div>')
    scale = "".join(f'<span style="left:{at(mark)}">{escape(_number(mark))}</span>' for mark in marks)
    axis = f'<div class="a" aria-hidden="true">{scale}</div>'
    return f'<div class="rows" role="group" aria-label="{escape(title)}">{"".join(parts)}{axis}</div>'


def count_rows(counts: Mapping[str, int], title: str, colour: str) -> str:
    """A bar for each count, beside its share of all."""
    total, most = sum(counts.values()) or 1, max(counts.values(), default=1) or 1
    parts = [
        f'<div class="l">{escape(name)}</div>'
        f'<div class="v">{count:,} <span class="dim">({count / total:.0%})</span></div>'
        f'<div class="t" aria-hidden="true">'
        f'<s style="left:0;width:{100 * count / most:.2f}%;background:{colour}"></s></div>'
        for name, count in counts.items()
    ]
    return f'<div class="rows" role="group" aria-label="{escape(title)}">{"".join(parts)}</div>'


def heat_table(
    columns: Sequence[str], rows: Mapping[str, Sequence[tuple[float | None, str, str]]], hues: tuple[str, str]
) -> str:
    """A table whose cells (value, text, small text) are the darker the further from zero, one without a value plain;
    `hues`, above zero and below it, are red, green and blue.
    """
    most = max((abs(value) for cells in rows.values() for value, _, _ in cells if value is not None), default=0.0)
    head = "".join(f"<th>{escape(name)}</th>" for name in ("", *columns))
    body = []
    for name, cells in rows.items():
        told = []
        for value, text, small in cells:
            shade = 0.0 if not value else 0.08 + 0.5 * abs(value) / most
            hue = hues[value is not None and value < 0]
            told.append(
                f'<td style="background:rgba({hue},{shade:.2f})">{escape(text)}<small>{escape(small)}</small></td>'
            )
        body.append(f"<tr><th>{escape(name)}</th>{''.join(told)}</tr>")
    return f'<table class="heat"><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table>'


def part_bars(rows: Mapping[str, Mapping[str, int]], colours: Mapping[str, str], title: str) -> str:
    """A bar a row whose length is its sum, parted by name, and the key to the colours."""
    most = max((sum(own.values()) for own in rows.values()), default=1) or 1
    key = "".join(f'<span><i style="background:{colour}"></i>{escape(name)}</span>' for name, colour in colours.items())
    parts = []
    for label, own in rows.items():
        pieces = "".join(
            f'<span title="{escape(name)}: {own[name]:,}" '
            f'style="width:{100 * own[name] / most:.2f}%;background:{colours[name]}"></span>'
            for name in colours
            if own.get(name)
        )
        parts.append(f'<div>{escape(label)}</div><div class="p" aria-hidden="true">{pieces}</div>')
        parts.append(f"<div>{sum(own.values()):,}</div>")
    whole = f'<div class="parts" role="group" aria-label="{escape(title)}">{"".join(parts)}</div>'
    return f'<div class="key">{key}</div>{whole}'


def _dot(row: Row, at: object) -> str:
    if not isfinite(row.mean):
        return ""
    mean, low, high = (at(value) for value in (row.mean, row.low, row.high))  # type: ignore[operator]
    line = f'<b style="left:{low};width:calc({high} - {low});background:{row.colour}"></b>'
    return f'{line}<em style="left:{mean};background:{row.colour}"></em>'


def _told(row: Row, form: Callable[[float], str]) -> str:
    return row.note or f"{form(row.mean)} [{form(row.low)},{NO_BREAK}{form(row.high)}]"


def _number(value: float) -> str:
    return f"{value:,.6g}".replace("-", "−")
