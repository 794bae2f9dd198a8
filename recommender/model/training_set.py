"""Training rows of two kinds: slates that would have been shown at past cuts, and slates that were shown.

Nothing is fitted to labels here, and no row is built that a later event could have changed: a slate at
a cut uses the states of that cut, its labels the events of the horizon after it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits

from recommender.cuts import CutInputs
from recommender.errors import InputError, IntegrityError
from recommender.events import DAY_MS
from recommender.model.features import assemble, feature_names, feature_version
from recommender.model.items import ItemMatrix
from recommender.model.labels import GradeConfig, Relevant, graded_pairs, relevant_items
from recommender.retrieval.candidates import Candidates, UserBatch
from recommender.retrieval.retriever import RetrieverConfig, fit_retriever
from recommender.states import Contexts, UserStates
from recommender.workspace import replace_folder

__all__ = ["Progress", "TrainingConfig", "TrainingSet", "retrospective_slates", "served_slates"]

Progress = Callable[[str, int, int], None]  # what is being done, steps done, steps in all

GROUP_SCHEMA = pa.schema(
    [
        ("kind", pa.string()),  # "retrospective" or "served"
        ("at_ms", pa.int64()),  # the cut, or when it was decided
        ("decision_id", pa.string()),  # "" for a retrospective slate
        ("user_id", pa.string()),
        ("weight", pa.float64()),
        ("size", pa.int64()),
    ]
)


@dataclass(frozen=True)
class TrainingConfig:
    """`horizon_days` after a cut are its labels; `negatives` kept for each slate (by a seeded draw; 0 keeps
    all: on online_retail 50, 100 and all gave the same lists within the noise of a seed, ± .002);
    `attribution_days` during which an outcome counts for the decision it names; `threads` cuts at a time."""

    horizon_days: float = 7.0
    negatives: int = 60
    attribution_days: float = 7.0
    threads: int = 2
    grades: GradeConfig = field(default_factory=GradeConfig)


@dataclass(frozen=True)
class TrainingSet:
    """Rows grouped by slate: `groups` (GROUP_SCHEMA) has one row a slate, in the order of the rows.

    `features` float32 (n, n_features); `label` float32 (n), a grade; `item_id` (n); `position` int64,
    1-based, 0 where nothing was shown; `propensity` float64, nan where nothing was shown.
    """

    names: tuple[str, ...]
    features: npt.NDArray[np.float32]
    label: npt.NDArray[np.float32]
    item_id: pa.Array
    position: npt.NDArray[np.int64]
    propensity: npt.NDArray[np.float64]
    groups: pa.Table

    def __len__(self) -> int:
        return len(self.label)

    @property
    def group(self) -> npt.NDArray[np.int64]:
        """Group of each row."""
        return np.repeat(np.arange(len(self.groups)), self.sizes)

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        return np.asarray(self.groups["size"].to_numpy(), dtype=np.int64)

    @property
    def at_ms(self) -> npt.NDArray[np.int64]:
        """Moment of each group."""
        return np.asarray(self.groups["at_ms"].to_numpy(), dtype=np.int64)

    def take_groups(self, wanted: npt.NDArray[np.bool_]) -> TrainingSet:
        """Only the groups of a mask, with their rows."""
        rows = np.flatnonzero(wanted[self.group])
        return TrainingSet(
            self.names,
            self.features[rows],
            self.label[rows],
            self.item_id.take(pa.array(rows)),
            self.position[rows],
            self.propensity[rows],
            self.groups.filter(pa.array(wanted)),
        )

    def until(self, end_ms: int, horizon_days: float) -> TrainingSet:
        """Only slates whose whole horizon had passed by `end_ms`: what a ranker could have learnt from then."""
        return self.take_groups(self.at_ms + round(horizon_days * DAY_MS) <= end_ms)

    @classmethod
    def concatenate(cls, parts: Sequence[TrainingSet]) -> TrainingSet:
        """All rows of the parts, which must have the same columns; in order."""
        if len({part.names for part in parts}) != 1:
            raise InputError(
                f"{len({part.names for part in parts})} different feature lists among {len(parts)} training sets.",
                "one feature list.",
                "Build all training sets with the same version of the code.",
            )
        return cls(
            parts[0].names,
            np.concatenate([part.features for part in parts]),
            np.concatenate([part.label for part in parts]),
            pa.chunked_array([part.item_id for part in parts]).combine_chunks(),
            np.concatenate([part.position for part in parts]),
            np.concatenate([part.propensity for part in parts]),
            pa.concat_tables([part.groups for part in parts]).combine_chunks(),
        )

    def summary(self) -> dict[str, Any]:
        """Counts for a person: rows, slates of each kind, positives."""
        kinds = self.groups["kind"].to_pylist()
        return {
            "rows": len(self),
            "slates": len(self.groups),
            "retrospective_slates": kinds.count("retrospective"),
            "served_slates": kinds.count("served"),
            "positive_rows": int((self.label > 0).sum()),
            "users": len(pc.unique(self.groups["user_id"])),
            "cuts": len(set(self.at_ms[np.asarray(kinds) == "retrospective"].tolist())),
            "features": len(self.names),
            "feature_version": feature_version(self.names),
        }

    def save(self, folder: Path) -> None:
        """rows.parquet, groups.parquet and manifest.json, put in place in one move."""
        aside = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        columns = {name: self.features[:, place] for place, name in enumerate(self.names)}
        own = {"item_id": self.item_id, "label": self.label, "position": self.position, "propensity": self.propensity}
        pq.write_table(pa.table({"group": self.group, **own, **columns}), aside / "rows.parquet", compression="lz4")
        pq.write_table(self.groups, aside / "groups.parquet")
        manifest = json.dumps({"names": list(self.names), **self.summary()}, indent=1)
        (aside / "manifest.json").write_text(manifest, encoding="utf-8")
        replace_folder(aside, folder)

    @classmethod
    def load(cls, folder: Path) -> TrainingSet:
        """What `save` wrote; raises IntegrityError when a file is missing or does not agree with the manifest."""
        try:
            manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
            rows, groups = pq.read_table(folder / "rows.parquet"), pq.read_table(folder / "groups.parquet")
        except (OSError, ValueError, pa.ArrowInvalid) as problem:
            raise _broken(folder, str(problem)) from problem
        if rows.num_rows != manifest["rows"] or groups.num_rows != manifest["slates"]:
            raise _broken(folder, f"{rows.num_rows} rows in {groups.num_rows} slates, not as the manifest says")
        names = tuple(manifest["names"])
        features = np.empty((rows.num_rows, len(names)), dtype=np.float32)
        for place, name in enumerate(names):
            features[:, place] = rows[name].to_numpy()
        own = (rows["label"].to_numpy(), rows["item_id"].combine_chunks(), rows["position"].to_numpy())
        return cls(names, features, *own, rows["propensity"].to_numpy(), groups.combine_chunks())


def _broken(folder: Path, problem: str) -> IntegrityError:
    return IntegrityError(
        f"a training set in {folder} that cannot be read ({problem}).",
        "rows.parquet, groups.parquet and manifest.json as they were written.",
        "Materialise the training set again.",
    )


def retrospective_slates(
    cuts: Sequence[CutInputs],
    events: pa.Table,
    config: TrainingConfig | None = None,
    retriever: RetrieverConfig | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> TrainingSet:
    """What the system would have proposed at past cuts, labelled by the horizon after each.

    `events` are rows of EVENT_SCHEMA; `seed` enters the negatives' draw and the retrievers. Slates
    without any positive among the candidates teach a ranker nothing and are dropped.
    """
    config, retriever = config or TrainingConfig(), retriever or RetrieverConfig()
    parts = []
    # The limit is the process's, so it is set here: a thread that leaves its own would lift it for the others.
    with threadpool_limits(limits=1), ThreadPoolExecutor(config.threads) as pool:
        for part in pool.map(lambda cut: _slates_of(cut, events, config, retriever, seed), cuts):
            parts.append(part)
            if progress:
                progress("slates at past cuts", len(parts), len(cuts))
    if not any(len(part) for part in parts):
        raise InputError(
            f"{len(cuts)} past cuts without one candidate that was chosen in the {config.horizon_days:g} days after.",
            "at least one past cut with users who came back.",
            "Bring a longer history, or shorten the interval between cuts.",
        )
    return TrainingSet.concatenate([part for part in parts if len(part)])


def _slates_of(
    cut: CutInputs, events: pa.Table, config: TrainingConfig, retriever_config: RetrieverConfig, seed: int
) -> TrainingSet:
    end = cut.as_of_ms + round(config.horizon_days * DAY_MS)
    pairs = graded_pairs(events, cut.as_of_ms, end, config.grades)
    came_back = pc.is_in(cut.users.table["user_id"], value_set=pc.unique(pairs["user_id"]))
    users = UserStates(cut.users.table.filter(came_back).combine_chunks())
    relevant = relevant_items(pairs, users.user_ids, cut.items)
    retriever = fit_retriever(cut, retriever_config, seed)
    batch = UserBatch.read(users, Contexts.at(cut.as_of_ms, len(users)), cut.items)
    candidates = retriever.retrieve_batch(batch)
    labels = relevant.labels(candidates.user_row, candidates.item_index)
    rows = _sample(candidates, labels, config.negatives, np.random.default_rng((seed, cut.as_of_ms)))
    return _training_rows(cut, batch, candidates.keep(rows), labels[rows], relevant)


def _sample(
    candidates: Candidates, labels: npt.NDArray[np.float32], negatives: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Rows to keep: slates with a positive; of those all positives and `negatives` others drawn evenly."""
    user = candidates.user_row
    positive = labels > 0
    useful = np.bincount(user[positive], minlength=len(candidates.offsets) - 1) > 0
    if not negatives:
        return np.flatnonzero(useful[user])
    draw = rng.random(len(labels))
    draw[positive] = -1.0  # always first
    order = np.lexsort((draw, user))
    rank = np.arange(len(order)) - candidates.offsets[user[order]]
    positives = np.bincount(user[positive], minlength=len(useful))
    kept = order[(rank < positives[user[order]] + negatives) & useful[user[order]]]
    return np.sort(kept)


def _training_rows(
    cut: CutInputs, batch: UserBatch, candidates: Candidates, labels: npt.NDArray[np.float32], relevant: Relevant
) -> TrainingSet:
    sizes = np.diff(candidates.offsets)
    filled = np.flatnonzero(sizes)
    n_groups, n_rows = len(filled), len(candidates)
    groups = pa.table(
        {
            "kind": pa.array(["retrospective"] * n_groups, pa.string()),
            "at_ms": np.full(n_groups, cut.as_of_ms),
            "decision_id": pa.array([""] * n_groups, pa.string()),
            "user_id": batch.users.texts("user_id").take(pa.array(filled)),
            "weight": np.ones(n_groups),
            "size": sizes[filled],
        },
        schema=GROUP_SCHEMA,
    )
    features = assemble(batch, ItemMatrix.of(cut.items), candidates)
    items = cut.items.item_ids.take(pa.array(candidates.item_index))
    shown = (np.zeros(n_rows, dtype=np.int64), np.full(n_rows, np.nan))
    return TrainingSet(feature_names(candidates.generators), features, labels, items, *shown, groups)


def served_slates(
    decisions: pa.Table,
    events: pa.Table,
    names: Sequence[str],
    config: TrainingConfig | None = None,
) -> TrainingSet:
    """What was really shown, with the features as they were logged, labelled by the outcomes that name it.

    `decisions` are rows of DECISION_SCHEMA; those of another feature version, without logged features
    or with an empty slate are left out. A decision nobody answered stays, with labels 0: being shown
    and not chosen is what a ranker learns most from.
    """
    config = config or TrainingConfig()
    usable = _usable(decisions, names)
    sizes = pc.list_value_length(usable["slate_item_ids"]).to_numpy().astype(np.int64)
    group = np.repeat(np.arange(len(usable)), sizes)
    raw = b"".join(usable["slate_features"].to_pylist())
    features = np.frombuffer(raw, dtype="<f4").reshape(int(sizes.sum()), len(names)).astype(np.float32)
    items = pc.list_flatten(usable["slate_item_ids"]).combine_chunks()
    groups = pa.table(
        {
            "kind": pa.array(["served"] * len(usable), pa.string()),
            "at_ms": usable["decided_at"].cast(pa.int64()),
            "decision_id": usable["decision_id"],
            "user_id": pc.fill_null(usable["user_id"], ""),
            "weight": np.ones(len(usable)),
            "size": sizes,
        },
        schema=GROUP_SCHEMA,
    ).combine_chunks()
    position = np.arange(len(group)) - np.repeat(np.cumsum(sizes) - sizes, sizes) + 1
    propensity = pc.list_flatten(usable["slate_propensities"]).to_numpy()
    labels = _outcome_labels(groups, items, group, events, config)
    return TrainingSet(tuple(names), features, labels, items, position, propensity, groups)


def _usable(decisions: pa.Table, names: Sequence[str]) -> pa.Table:
    """Decisions whose logged features are complete and have these columns."""
    length = pc.fill_null(pc.list_value_length(decisions["slate_item_ids"]), 0)
    logged = pc.fill_null(pc.binary_length(decisions["slate_features"]), 0)
    full = pc.equal(logged, pc.multiply(length, 4 * len(names)))
    same = pc.fill_null(pc.equal(decisions["feature_version"], feature_version(names)), False)
    keep = pc.and_(pc.and_(full, same), pc.greater(length, 0))
    return decisions.filter(keep).sort_by([("decided_at", "ascending"), ("decision_id", "ascending")]).combine_chunks()


def _outcome_labels(
    groups: pa.Table, items: pa.Array, group: npt.NDArray[np.int64], events: pa.Table, config: TrainingConfig
) -> npt.NDArray[np.float32]:
    """Grade of the best outcome of each shown item within the attribution window; 0 without one."""
    outcomes = events.filter(pc.is_in(events["decision_id"], value_set=groups["decision_id"].combine_chunks()))
    place = pc.index_in(outcomes["decision_id"], value_set=groups["decision_id"].combine_chunks())
    owner = place.to_numpy().astype(np.int64)
    after = outcomes["occurred_at"].cast(pa.int64()).to_numpy() - groups["at_ms"].to_numpy()[owner]
    grade = np.asarray([config.grades.of(name) for name in outcomes["event_type"].to_pylist()], dtype=np.float32)
    counts = (grade > 0) & (after >= 0) & (after < config.attribution_days * DAY_MS)
    distinct = pc.unique(items)
    code = pc.index_in(items, value_set=distinct).to_numpy().astype(np.int64)
    named = pc.fill_null(pc.index_in(outcomes["item_id"], value_set=distinct), -1).to_numpy().astype(np.int64)
    counts &= named >= 0
    keys, width = group * len(distinct) + code, len(distinct)
    order = np.argsort(keys, kind="stable")
    wanted = owner[counts] * width + named[counts]
    labels = np.zeros(len(items), dtype=np.float32)
    if not len(items) or not len(wanted):
        return labels
    at = order[np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)]
    hit = keys[at] == wanted
    np.maximum.at(labels, at[hit], grade[counts][hit])
    return labels
