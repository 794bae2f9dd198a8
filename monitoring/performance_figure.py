"""Live performance as a picture; no figure is computed here."""

from __future__ import annotations

import io

from monitoring.performance import LivePerformance, Metric, rate_of

__all__ = ["performance_figure"]

_TITLES: dict[Metric, str] = {
    "click_rate": "Share of decisions with a click",
    "conversion_rate": "Share of decisions with a purchase",
    "reward": "Reward per decision",
}


def performance_figure(live: LivePerformance, metric: Metric = "click_rate") -> bytes:
    """PNG of a metric by day, one line a model, with the interval of each day."""
    # Without pyplot: its figures belong to the process and its back end to whoever imported it first.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(title=_TITLES[metric])
    days = sorted({performance.day for performance in live.days})
    for version in sorted({performance.model_version for performance in live.days}):
        own = [performance for performance in live.days if performance.model_version == version]
        rates = [rate_of(performance, metric) for performance in own]
        values = [rate.value for rate in rates]
        below = [max(rate.value - rate.low, 0.0) for rate in rates]
        above = [max(rate.high - rate.value, 0.0) for rate in rates]
        places = [days.index(performance.day) for performance in own]
        axes.errorbar(places, values, yerr=[below, above], marker="o", markersize=4, capsize=3, label=version)
    axes.set_xticks(range(len(days)), days, rotation=30, ha="right")
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", alpha=0.3)
    if days:
        axes.legend(title="model", fontsize="small")
    else:
        axes.text(0.5, 0.5, "no decision can be judged yet", ha="center", transform=axes.transAxes)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()
