"""The sections of the evaluation page: each a heading, one plain sentence, a picture or a table. No figure is computed.

They read the JSON of the evidence and of the study, so that a page can be made again from what was kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from recommender.report.plots import Row, bar_plot, interval_plot, line_plot

__all__ = ["EVIDENCE_SECTIONS", "STUDY_SECTIONS", "section", "table"]

Figures = Mapping[str, Any]

OURS = "challenger"
COLOURS = {OURS: "#2563eb", "champion": "#d97706", "own frequency + popularity": "#64748b", "popularity": "#94a3b8"}
KINDS = {"repeat": "Everything counts, also what a person had before", "novel": "Only things new to the person"}
KPIS = {
    "conversion": ("conversion ndcg@20", "what people bought stands high in the list"),
    "revenue": ("revenue recall@20", "share of a person's spend that was in the list"),
    "engagement": (
        "engagement ndcg@20",
        "what people looked at, liked or bought stands high, weighted by the objective",
    ),
    "retention": ("retention ndcg@20", "what was there when a visit led to another visit stands high"),
}
PARTS = {
    "families": "Without a whole family of generators",
    "generators": "Without a generator",
    "groups": "Without a group of features",
}
MANNERS = {
    "novelty@20": "Novelty, bits: how few people know the items listed; higher means less obvious.",
    "popularity lift@20": "Lean to hits: how much more popular the list is than what the same people chose; 0 is even.",
    "content diversity@20": "Difference in words: 0 when all titles of a list are alike, 1 when none share a word.",
    "category diversity@20": "Difference in category: the share of pairs in a list from different categories.",
    "brand diversity@20": "Difference in brand: the share of pairs in a list from different brands.",
}


def section(title: str, sentence: str, *parts: str) -> str:
    """A heading, one sentence under it, and what it is about; the parts are HTML."""
    return f"<section><h2>{escape(title)}</h2><p>{escape(sentence)}</p>{''.join(parts)}</section>"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], summary: str = "") -> str:
    """An HTML table of texts; folded under `summary` when there is one."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    whole = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"<details><summary>{escape(summary)}</summary>{whole}</details>" if summary else whole


def _beside(evidence: Figures) -> str:
    plots = []
    for kind, words in KINDS.items():
        for metric, means in (("ndcg@10", "quality of the first ten, by rank"), ("recall@20", "share found in twenty")):
            title = f"{metric}, {kind}: {means}"
            rows = [_row(name, own[kind][metric], COLOURS.get(name)) for name, own in evidence["figures"].items()]
            plots.append(f"<figure><figcaption><b>{escape(words)}.</b> {escape(title)}</figcaption>")
            plots.append(f"{interval_plot(rows, title)}</figure>")
    metrics = list(evidence["figures"][OURS]["repeat"])
    cells = [
        [f"{kind} {metric}", *(_figure(own[kind][metric]) for own in evidence["figures"].values())]
        for kind in KINDS
        for metric in metrics
        if evidence["counts"][kind][metric]
    ]
    return section(
        "Beside simple systems",
        "Each dot is a mean over people, the line around it holds the true mean in 95 of 100 such weeks. The simple "
        "systems are what a shop has without a model: the same best sellers for all, and each person's own favourites.",
        *plots,
        table(["metric", *evidence["figures"]], cells, "All metrics of all systems"),
    )


def _kpis(evidence: Figures) -> str:
    rows = []
    for kpi, (metric, _) in KPIS.items():
        people = evidence["counts"]["repeat"][metric]
        name = f"{kpi} (declared)" if kpi == evidence["objective"]["kpi"] else kpi
        if people < FEW:
            rows.append(Row(name, note=f"too few: {people} people"))
        else:
            rows.append(_row(name, evidence["figures"][OURS]["repeat"][metric], COLOURS[OURS]))
    captured = evidence["figures"][OURS]["repeat"]["revenue captured@20"]
    money = f" Of all money spent in the days after, {captured['mean']:.0%} went to things in the lists of 20."
    words = [[kpi, metric, means] for kpi, (metric, means) in KPIS.items()]
    return section(
        "By aim",
        "The same lists, judged by each aim a placement can declare; the declared one decides about promotion."
        + (money if evidence["counts"]["repeat"]["revenue captured@20"] else ""),
        interval_plot(rows, "The challenger by KPI"),
        table(["aim", "figure", "meaning"], words, "What the figures mean"),
    )


FEW = 30  # people below whom a KPI is not drawn; the slices bring their own limit


def _slices(evidence: Figures) -> str:
    plots, rows = [], []
    shown = [group for group in evidence["slices"] if group["kind"] == "repeat"]
    for dimension in dict.fromkeys(group["dimension"] for group in shown):
        lines = []
        for group in (group for group in shown if group["dimension"] == dimension):
            if not group["figures"]:
                lines.append(Row(group["name"], note=f"too few: {group['users']} people"))
                continue
            for system in (OURS, "popularity"):
                name = f"{group['name']} ({group['users']:,})" if system == OURS else "… popularity"
                lines.append(_row(name, group["figures"][system]["ndcg@10"], COLOURS[system]))
        plots.append(f"<figure><figcaption>By <b>{escape(dimension)}</b>, ndcg@10</figcaption>")
        plots.append(f"{interval_plot(lines, f'By {dimension}')}</figure>")
    for group in evidence["slices"]:
        lead = group["differences"].get("popularity", {}).get("ndcg@10")
        own = group["figures"].get(OURS, {})
        found = [_figure(own.get("ndcg@10")), _figure(own.get("recall@20")), _figure(lead)]
        rows.append([group["kind"], group["dimension"], group["name"], f"{group['users']:,}", *found])
    header = ["lists", "by", "group", "people", "ndcg@10", "recall@20", "lead over popularity, ndcg@10"]
    return section(
        "Who is served well",
        "The challenger (blue) and the best sellers (grey) among people of one kind. A group of too few people gets no "
        "figure; for a category, only what was chosen from it counts.",
        *plots,
        table(header, rows, "All groups"),
    )


def _manner(evidence: Figures) -> str:
    systems = list(evidence["figures"])
    rows = [
        ["Coverage: share of the catalogue in anybody's list", *(f"{evidence['coverage'][s]:.1%}" for s in systems)],
        [
            "Concentration (Gini): 0 all items alike, 1 one item takes all",
            *(f"{evidence['gini'][s]:.2f}" for s in systems),
        ],
    ]
    for metric, words in MANNERS.items():
        if metric in evidence["figures"][OURS]["repeat"]:
            rows.append([words, *(_figure(evidence["figures"][s]["repeat"][metric]) for s in systems)])
    return section(
        "What the lists are like",
        "Lists that are right can still be the same for everybody, or hold nothing but best sellers. None of these "
        "figures is better the higher it is: they say what character the lists have.",
        table(["", *systems], rows),
    )


def _candidates(evidence: Figures) -> str:
    parts = []
    for kind, found in evidence["candidates"].items():
        rows = [_row("all together", found["union"], COLOURS[OURS])]
        rows += [_row(name, value, COLOURS["popularity"]) for name, value in _ranked(found["alone"])]
        caption = f"<b>{kind}</b>: share of what people chose that each generator proposes, alone"
        lost = [_row(name, value, "#0d9488") for name, value in _ranked(found["marginal"])]
        parts.append(f"<figure><figcaption>{caption}</figcaption>{interval_plot(rows, kind)}</figure>")
        parts.append("<figure><figcaption>What would be lost without it</figcaption>")
        parts.append(f"{bar_plot(lost, f'{kind}: lost without')}</figure>")
    counts = evidence["candidates"]["repeat"]["counts"]
    union = evidence["candidates"]["repeat"]["union"]["mean"]
    each = ", ".join(f"{name} {count:.0f}" for name, count in counts.items() if name != "all")
    return section(
        "What the model can choose from",
        f"Before ranking, every generator proposes items: {counts['all']:.0f} a person together ({each}). What nobody "
        f"proposes cannot be listed, so {union:.0%} is the most that any ranking of them could find.",
        *parts,
    )


def _families(evidence: Figures) -> str:
    parts = []
    for kind in KINDS:
        rows = [_row("the model", evidence["figures"][OURS][kind]["ndcg@10"], COLOURS[OURS])]
        families = {name: own[kind]["ndcg@10"] for name, own in evidence["families"].items()}
        rows += [_row(name, value, COLOURS["own frequency + popularity"]) for name, value in _ranked(families)]
        parts.append(f"<figure><figcaption><b>{kind}</b>, ndcg@10</figcaption>{interval_plot(rows, kind)}</figure>")
    return section(
        "Each family alone",
        "What the lists would be if one generator alone made them, in its own order, beside the model that weighs all.",
        *parts,
    )


def _parts(study: Figures) -> str:
    found, blocks = study["ablation"], []
    for name, words in PARTS.items():
        for kind in KINDS:
            values = {part: own[kind]["ndcg@10"] for part, own in found[name].items()}
            rows = [_row(part, value, _certain(value)) for part, value in _ranked(values)]
            caption = f"<figcaption><b>{words}</b>, {kind}: ndcg@10 that is lost</figcaption>"
            blocks.append(f"<figure>{caption}{bar_plot(rows, f'{words}, {kind}')}</figure>")
    return section(
        "What each part is worth",
        f"The model was trained again without one part at a time ({found['rows']:,} rows, {found['rounds']} rounds), "
        f"and judged on the same {study['users']:,} people. To the right the part helps, to the left the model does "
        "better without it; green and red where that is certain. "
        "Parts that can stand in for each other show little, each alone.",
        *blocks,
    )


def _age(study: Figures) -> str:
    found = study["staleness"]
    if found is None:
        return section("What age costs", "The history is too short to serve people with older parts.")
    blocks = []
    for kind in KINDS:
        series = {name: [_row(name, age[kind]["ndcg@10"]) for age in curve] for name, curve in found["lost"].items()}
        title = f"{kind}: change of ndcg@10, person by person, by what is old"
        plot = line_plot(found["ages_days"], series, ("#2563eb", "#d97706", "#dc2626"), title, "days old")
        blocks.append(f"<figure><figcaption>{escape(title)}</figcaption>{plot}</figure>")
    rows = [
        [kind, name, *(_figure(age[kind]["ndcg@10"]) for age in curve)]
        for kind in KINDS
        for name, curve in found["curves"].items()
    ]
    header = ["lists", "what is old", *(f"{age:.3g} days" for age in found["ages_days"])]
    return section(
        "What age costs",
        f"The same {found['users']:,} people served by parts that were not renewed for a while; every model here "
        f"learnt from {found['cuts']} past cuts, so that age alone differs.",
        *blocks,
        table(header, rows, "The figures themselves"),
    )


def _certain(value: Any) -> str:
    """Green for a part that helps, red for one that harms, grey where it cannot be told."""
    return "#0d9488" if value["low"] > 0 else "#dc2626" if value["high"] < 0 else COLOURS["popularity"]


def _ranked(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from sorted(values.items(), key=lambda entry: (-entry[1]["mean"], entry[0]))


def _row(label: str, value: Any, colour: str | None = None) -> Row:
    return Row(label, value["mean"], value["low"], value["high"], colour or COLOURS["popularity"])


def _figure(value: Any) -> str:
    return "too few" if value is None else Row("", value["mean"], value["low"], value["high"]).text


EVIDENCE_SECTIONS: tuple[Callable[[Figures], str], ...] = (_beside, _kpis, _slices, _manner, _candidates, _families)
STUDY_SECTIONS: tuple[Callable[[Figures], str], ...] = (_parts, _age)
