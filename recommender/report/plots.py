"""Plots as SVG text: intervals row by row, bars around zero, and lines over time. What is plotted is not known here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, isfinite, log10

__all__ = ["NO_BREAK", "Row", "bar_plot", "interval_plot", "line_plot", "ticks"]

WIDTH, LABEL, VALUE, LINE, AXIS = 780, 210, 170, 26, 26
NO_BREAK = "\N{NO-BREAK SPACE}"
# By name, so that a page chooses them for light and dark; alone, a picture is one for light.
INK, MUTED, GRID = "var(--ink,#0f172a)", "var(--muted,#64748b)", "var(--grid,#e2e8f0)"


@dataclass(frozen=True)
class Row:
    """One line of a plot: a mean with its interval, or only a `note` where there is no figure."""

    label: str
    mean: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    colour: str = MUTED
    note: str = ""

    @property
    def text(self) -> str:
        """The figure beside the plot; an interval is never broken over two lines."""
        return self.note or f"{_short(self.mean)} [{_short(self.low)},{NO_BREAK}{_short(self.high)}]"


def interval_plot(rows: Sequence[Row], title: str) -> str:
    """SVG: a dot at each mean, a line over its interval; the axis begins at 0."""
    return _plot(rows, title, bars=False)


def bar_plot(rows: Sequence[Row], title: str) -> str:
    """SVG: a bar from 0 to each mean, a line over its interval; values may lie on both sides of 0."""
    return _plot(rows, title, bars=True)


def _plot(rows: Sequence[Row], title: str, bars: bool) -> str:
    marks = ticks([0.0, *(value for row in rows for value in (row.low, row.high, row.mean) if isfinite(value))])
    left, right = LABEL, WIDTH - VALUE
    height = AXIS + LINE * len(rows)

    def x(value: float) -> float:
        return left + (right - left) * (value - marks[0]) / (marks[-1] - marks[0])

    parts = [_tick(x(tick), tick, LINE * len(rows)) for tick in marks]
    for place, row in enumerate(rows):
        middle = LINE * place + LINE / 2
        parts.append(_text(left - 10, middle, row.label, "end", INK))
        parts.append(_text(right + 10, middle, row.text, "start", MUTED if row.note else INK))
        if isfinite(row.mean):
            parts.append(_mark(row, x, middle, bars))
    return _svg(parts, height, title)


def _mark(row: Row, x: object, middle: float, bars: bool) -> str:
    at, low, high, zero = (x(value) for value in (row.mean, row.low, row.high, 0.0))  # type: ignore[operator]
    line = f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{middle}" y2="{middle}" stroke="{row.colour}" stroke-width="2"/>'
    if not bars:
        return f'{line}<circle cx="{at:.1f}" cy="{middle}" r="5" fill="{row.colour}"/>'
    start, width = min(at, zero), abs(at - zero)
    bar = f'<rect x="{start:.1f}" y="{middle - 7}" width="{width:.1f}" height="14" fill="{row.colour}" opacity=".35"/>'
    return bar + line


def line_plot(
    places: Sequence[float], series: Mapping[str, Sequence[Row]], colours: Sequence[str], title: str, unit: str
) -> str:
    """SVG: one line a series over `places` (ascending), with a bar over each interval; the axis holds 0."""
    height, top, left, right = 260, 12, 60, WIDTH - 20
    bottom = height - 44
    marks = ticks([0.0, *(value for rows in series.values() for row in rows for value in (row.low, row.high))])
    span = max(places) - min(places) or 1.0

    def x(place: float, shift: float) -> float:
        return left + 30 + (right - left - 60) * (place - min(places)) / span + shift

    def y(value: float) -> float:
        return bottom - (bottom - top) * (value - marks[0]) / (marks[-1] - marks[0])

    parts = []
    for tick in marks:
        parts.append(f'<line x1="{left}" x2="{right}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" stroke="{GRID}"/>')
        parts.append(_text(left - 8, y(tick), _short(tick), "end", MUTED))
    parts += [_text(x(place, 0), bottom + 18, f"{place:g} {unit}", "middle", MUTED) for place in places]
    for number, (name, rows) in enumerate(series.items()):
        shift = 6.0 * (number - (len(series) - 1) / 2)
        points = [(x(place, shift), y(row.mean)) for place, row in zip(places, rows, strict=True)]
        path = " ".join(f"{across:.1f},{up:.1f}" for across, up in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colours[number]}" stroke-width="2"/>')
        for (across, up), row in zip(points, rows, strict=True):
            parts.append(
                f'<line x1="{across:.1f}" x2="{across:.1f}" y1="{y(row.low):.1f}" y2="{y(row.high):.1f}" '
                f'stroke="{colours[number]}" opacity=".5"/><circle cx="{across:.1f}" cy="{up:.1f}" r="4" '
                f'fill="{colours[number]}"><title>{escape(name)}: {escape(row.text)}</title></circle>'
            )
    legend = LABEL / 3
    for number, name in enumerate(series):
        parts.append(f'<circle cx="{legend:.0f}" cy="{height - 8}" r="4" fill="{colours[number]}"/>')
        parts.append(_text(legend + 9, height - 8, name, "start", INK))
        legend += 24 + 7.2 * len(name)
    return _svg(parts, height, title)


def _svg(parts: Sequence[str], height: float, title: str) -> str:
    head = f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">'
    return f"{head}<title>{escape(title)}</title>{''.join(parts)}</svg>"


def _tick(at: float, value: float, bottom: float) -> str:
    line = f'<line x1="{at:.1f}" x2="{at:.1f}" y1="0" y2="{bottom}" stroke="{MUTED if value == 0 else GRID}"/>'
    return line + _text(at, bottom + 14, _short(value), "middle", MUTED)


def _text(x: float, y: float, text: str, anchor: str, colour: str) -> str:
    return f'<text x="{x:.1f}" y="{y + 4:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'


def ticks(values: Sequence[float]) -> list[float]:
    """Four to six round values that hold all of `values`."""
    low, high = min(values), max(values)
    if high <= low:
        return [low, low + 1.0]
    rough = (high - low) / 4
    size = 10.0 ** floor(log10(rough))
    step = next(factor * size for factor in (1, 2, 2.5, 5, 10) if factor * size >= rough)
    return [step * place for place in range(floor(low / step), ceil(high / step) + 1)]


def _short(value: float) -> str:
    """Three digits that matter: .374, 4.02, 1,204."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    text = f"{value:.2f}" if abs(value) >= 10 else f"{value:.3f}"
    return (
        text.replace("-0.", "−.", 1).replace("-", "−") if value < 0 else (text[1:] if text.startswith("0.") else text)
    )
