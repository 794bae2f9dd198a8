"""An agent's run and its lift as pictures for Dagster's page. No figure is computed here."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["lift_figure", "run_figure"]

SHOWN = 8  # bars of one kind; the rest is told in the metadata
COLOURS = ("#2563eb", "#0d9488", "#94a3b8")


def run_figure(report: Mapping[str, Any]) -> bytes:
    """PNG of `run_report`: people by action, by window, and by why nothing is sent."""
    figure = _figure(10, 3.2)
    for place, kind in enumerate(("actions", "windows", "why nothing")):
        axes = figure.add_subplot(1, 3, place + 1)
        _bars(axes, kind, dict(report[kind]), COLOURS[place])
    return _png(figure)


def lift_figure(report: Mapping[str, Any], arm: str = "agent") -> bytes:
    """PNG of a readout: the arm's difference to the control by day, with the interval that holds at every look."""
    figure = _figure(8, 3.2)
    axes = figure.add_subplot(title=f"{arm} against {report['control']}: difference in {report['outcome']} per person")
    days = [day for day in report["days"] if _is_known(day["arms"][arm])]
    places = range(len(days))
    found = [day["arms"][arm] for day in days]
    axes.axhline(0, color="#64748b", linewidth=1)
    axes.fill_between(
        places,
        [own["always_low"] for own in found],
        [own["always_high"] for own in found],
        alpha=0.25,
        label="every look",
    )
    axes.plot(places, [own["difference"] for own in found], marker="o", markersize=3)
    step = max(1, len(days) // SHOWN)
    axes.set_xticks(list(places)[::step], [day["day"] for day in days][::step], rotation=30, ha="right")
    if days:
        axes.legend(fontsize="small")
    else:
        axes.text(0.5, 0.5, "nothing to compare yet", ha="center", transform=axes.transAxes)
    return _png(figure)


def _is_known(own: Mapping[str, Any]) -> bool:
    return own["difference"] is not None and own["always_low"] is not None and own["always_high"] is not None


def _bars(axes: Axes, title: str, counts: Mapping[str, int], colour: str) -> None:
    names: Sequence[str] = list(counts)[:SHOWN][::-1]
    axes.barh(range(len(names)), [counts[name] for name in names], color=colour)
    axes.set_yticks(range(len(names)), list(names), fontsize=8)
    axes.set_title(f"{title}: people", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)


def _figure(width: float, height: float) -> Figure:
    # Without pyplot: its figures belong to the process and its back end to whoever imported it first.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _png(figure: Figure) -> bytes:
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=110, metadata={"Software": None})
    return target.getvalue()
