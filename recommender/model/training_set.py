"""Training rows grouped by slate, and their files. How slates of either kind come about is not known here."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recommender.errors import InputError, IntegrityError
from recommender.model.features import feature_version
from recommender.objectives import DEFAULT_OBJECTIVE, Objective
from recommender.workspace import replace_folder

__all__ = ["Progress", "TrainingConfig", "TrainingSet"]

Progress = Callable[[str, int, int], None]  # what is being done, steps done, steps in all

GROUP_SCHEMA = pa.schema(
    [
        ("kind", pa.string()),  # "retrospective", "rehearsed" or "served"
        ("at_ms", pa.int64()),  # the cut, or when it was decided
        ("labelled_until_ms", pa.int64()),  # end of the time whose events its labels were read from
        ("decision_id", pa.string()),  # "" for a retrospective slate
        ("user_id", pa.string()),
        ("weight", pa.float64()),
        ("size", pa.int64()),
    ]
)


@dataclass(frozen=True)
class TrainingConfig:
    """`horizon_days` after a cut are its labels, graded by `objective`, which says as well how long an outcome counts
    for the decision it names; `negatives` kept for each slate (by a seeded draw; 0 keeps all: on online_retail 250
    gave repeat NDCG@10 .373, 60 .370 from 2/7 of the rows), a rehearsed one keeps `rehearsed_negatives`; fewer
    where a cut would have more than `rows_per_cut` (with 250,000 a run on complete_journey took 7 GB and 350 s);
    `threads` cuts at a time. Every third cut is rehearsed: `arrivals` is the share of its items shown as if just
    uploaded (0: no rehearsal), `strangers` how many people at most as if nobody had known them. On simulated shops,
    new items nobody had touched were among the 20 listed for .5 % of the people who would have liked them best, and
    for 20 % after rehearsals (warm items: 41 %)."""

    horizon_days: float = 7.0
    negatives: int = 140
    rehearsed_negatives: int = 60
    rows_per_cut: int = 100_000
    threads: int = 2
    arrivals: float = 0.15
    strangers: int = 1_000
    objective: Objective = DEFAULT_OBJECTIVE


@dataclass(frozen=True)
class TrainingSet:
    """Rows grouped by slate: `groups` (GROUP_SCHEMA) has one row a slate, in the order of the rows.

    `features` float32 (n, n_features); `label` float32 (n), a grade; `item_id` (n); `position` int64,
    1-based, 0 where nothing was shown; `propensity` float64, nan where nothing was shown; `examination`
    float64, how likely the row's position is to be looked at, 1 where that is not known to matter; `proposers`
    int64, which generators proposed the row's item (`Candidates.proposers`), 0 where it was shown; `objective` is
    what the labels were graded for.
    """

    names: tuple[str, ...]
    features: npt.NDArray[np.float32]
    label: npt.NDArray[np.float32]
    item_id: pa.Array
    position: npt.NDArray[np.int64]
    propensity: npt.NDArray[np.float64]
    examination: npt.NDArray[np.float64]
    proposers: npt.NDArray[np.int64]
    groups: pa.Table
    objective: Objective = DEFAULT_OBJECTIVE

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
        return self._picked(np.flatnonzero(wanted[self.group]), self.groups.filter(pa.array(wanted)))

    def take_rows(self, wanted: npt.NDArray[np.bool_]) -> TrainingSet:
        """Only the rows of a mask; slates that are left without one go."""
        left = np.bincount(self.group[wanted], minlength=len(self.groups))
        place = self.groups.column_names.index("size")
        groups = self.groups.set_column(place, "size", pa.array(left)).filter(pa.array(left > 0))
        return self._picked(np.flatnonzero(wanted), groups)

    def take_columns(self, names: Sequence[str]) -> TrainingSet:
        """Only some features, in the order of `names`."""
        places = [self.names.index(name) for name in names]
        return replace(self, names=tuple(names), features=np.ascontiguousarray(self.features[:, places]))

    def _picked(self, rows: npt.NDArray[np.int64], groups: pa.Table) -> TrainingSet:
        return TrainingSet(
            self.names,
            self.features[rows],
            self.label[rows],
            self.item_id.take(pa.array(rows)),
            self.position[rows],
            self.propensity[rows],
            self.examination[rows],
            self.proposers[rows],
            groups,
            self.objective,
        )

    def until(self, end_ms: int) -> TrainingSet:
        """Only slates whose labels were complete by `end_ms`: what a ranker could have learnt from then."""
        return self.take_groups(self.groups["labelled_until_ms"].to_numpy() <= end_ms)

    @classmethod
    def concatenate(cls, parts: Sequence[TrainingSet]) -> TrainingSet:
        """All rows of the parts, which must have the same columns; in order."""
        if len({part.names for part in parts}) != 1 or len({part.objective for part in parts}) != 1:
            raise InputError(
                f"{len(parts)} training sets of {len({part.names for part in parts})} feature lists and "
                f"{len({part.objective for part in parts})} objectives.",
                "one of each.",
                "Build all training sets with the same version of the code, for the same objective.",
            )
        return cls(
            parts[0].names,
            np.concatenate([part.features for part in parts]),
            np.concatenate([part.label for part in parts]),
            pa.chunked_array([part.item_id for part in parts]).combine_chunks(),
            np.concatenate([part.position for part in parts]),
            np.concatenate([part.propensity for part in parts]),
            np.concatenate([part.examination for part in parts]),
            np.concatenate([part.proposers for part in parts]),
            pa.concat_tables([part.groups for part in parts]).combine_chunks(),
            parts[0].objective,
        )

    def summary(self) -> dict[str, Any]:
        """Counts for a person: rows, slates of each kind, positives."""
        kinds = self.groups["kind"].to_pylist()
        return {
            "rows": len(self),
            "slates": len(self.groups),
            "retrospective_slates": kinds.count("retrospective"),
            "rehearsed_slates": kinds.count("rehearsed"),
            "served_slates": kinds.count("served"),
            "positive_rows": int((self.label > 0).sum()),
            "examination_by_position": self._curve(),
            "objective": self.objective.name,
            "users": len(pc.unique(self.groups["user_id"])),
            "cuts": len(set(self.at_ms[np.asarray(kinds) == "retrospective"].tolist())),
            "features": len(self.names),
            "feature_version": feature_version(self.names),
        }

    def _curve(self) -> list[float]:
        """Examination of positions 1, 2 …; empty where none is corrected."""
        if not (self.examination < 1).any():
            return []
        _, first = np.unique(self.position[self.position > 0], return_index=True)
        return [round(float(value), 4) for value in self.examination[self.position > 0][first]]

    def save(self, folder: Path) -> None:
        """rows.parquet, groups.parquet and manifest.json, put in place in one move."""
        aside = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        columns = {name: self.features[:, place] for place, name in enumerate(self.names)}
        own = {"item_id": self.item_id, "label": self.label, "position": self.position, "propensity": self.propensity}
        own |= {"examination": self.examination, "proposers": self.proposers}
        pq.write_table(pa.table({"group": self.group, **own, **columns}), aside / "rows.parquet", compression="lz4")
        pq.write_table(self.groups, aside / "groups.parquet")
        facts = {"names": list(self.names), **self.summary(), "graded_for": self.objective.as_json()}
        manifest = json.dumps(facts, indent=1)
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
        if missing := {"graded_for"} - manifest.keys() | {"examination", "proposers"} - set(rows.column_names):
            raise _broken(folder, f"{sorted(missing)[0]} is missing: an earlier version wrote it")
        names = tuple(manifest["names"])
        features = np.empty((rows.num_rows, len(names)), dtype=np.float32)
        for place, name in enumerate(names):
            features[:, place] = rows[name].to_numpy()
        label, item_id = rows["label"].to_numpy(), rows["item_id"].combine_chunks()
        position, propensity = rows["position"].to_numpy(), rows["propensity"].to_numpy()
        examination, proposers = rows["examination"].to_numpy(), rows["proposers"].to_numpy()
        own = (label, item_id, position, propensity, examination, proposers)
        return cls(names, features, *own, groups.combine_chunks(), Objective.parse(manifest["graded_for"]))


def _broken(folder: Path, problem: str) -> IntegrityError:
    return IntegrityError(
        f"a training set in {folder} that cannot be read ({problem}).",
        "rows.parquet, groups.parquet and manifest.json as they were written.",
        "Materialise the training set again.",
    )
