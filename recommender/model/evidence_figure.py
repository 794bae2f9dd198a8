"""The evidence as a picture, for Dagster's metadata and the README. Nothing is computed here."""

from __future__ import annotations

import io

from recommender.model.evaluation import CHALLENGER, Evidence

__all__ = ["evidence_figure"]


def evidence_figure(evidence: Evidence, metric: str = "ndcg@10") -> bytes:
    """PNG: each system's mean with its interval, repeat and novel side by side."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    systems = list(evidence.figures)[::-1]
    for place, kind in enumerate(evidence.users):
        axes = figure.add_subplot(1, len(evidence.users), place + 1)
        found = [evidence.figures[system][kind][metric] for system in systems]
        means = [interval.mean for interval in found]
        below = [interval.mean - interval.low for interval in found]
        above = [interval.high - interval.mean for interval in found]
        colours = ["#2563eb" if system == CHALLENGER else "#94a3b8" for system in systems]
        axes.barh(range(len(systems)), means, xerr=[below, above], color=colours, ecolor="#0f172a", capsize=3)
        axes.set_yticks(range(len(systems)), systems if place == 0 else [""] * len(systems))
        axes.set_title(f"{kind}: {metric}, {evidence.users[kind]:,} users", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=110, metadata={"Software": None})
    return target.getvalue()
