"""A search for parameters as a picture: every trial beside the defaults. Nothing is computed here."""

from __future__ import annotations

import io

from recommender.model.search import RankerSearch

__all__ = ["search_figure"]


def search_figure(search: RankerSearch) -> bytes:
    """PNG: each trial's NDCG minus the defaults' with its interval, in the order of the trials, the best in blue."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for number, trial in enumerate(search.trials):
        gain, is_best = trial.gain, number == search.best
        below, above = [gain.mean - gain.low], [gain.high - gain.mean]
        colour = "#2563eb" if is_best else "#94a3b8"
        axes.errorbar([number], [gain.mean], yerr=[below, above], fmt="o", color=colour, capsize=2, markersize=4)
    axes.axhline(0.0, color="#0f172a", linewidth=0.8)
    axes.set_xlabel("trial (0: the defaults)")
    axes.set_ylabel("NDCG beside the defaults'")
    axes.set_title(search.sentence, fontsize=9, wrap=True)
    axes.spines[["top", "right"]].set_visible(False)
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=110, metadata={"Software": None})
    return target.getvalue()
