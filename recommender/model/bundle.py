"""The bundle: one folder that holds a whole model, immutable, named by its hash. Where it is kept is not known here."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recommender.model.features import feature_version
from recommender.model.manifest import (
    BundleFacts,
    Manifest,
    broken_bundle,
    describe_files,
    read_manifest,
    verify_files,
    version_of,
)
from recommender.model.ranker import Ranker
from recommender.model.scorer import RankingModel
from recommender.retrieval.candidates import UserBatch
from recommender.retrieval.retriever import Retriever, RetrieverConfig
from recommender.retrieval.storage import read_arrays, write_arrays
from recommender.states import Contexts, ItemTable, UserStates
from recommender.workspace import replace_folder

__all__ = [
    "Bundle",
    "BundleFacts",
    "Manifest",
    "build_bundle",
    "golden_arrays",
    "load_bundle",
    "read_reference",
    "verify_bundle",
]

RANKER, REHEARSAL, TRIAL, RETRIEVER = "ranker.ubj", "rehearsal.ubj", "trial.ubj", "retriever.npz"
ITEMS, GOLDEN_USERS, GOLDEN, REFERENCE = "items.parquet", "golden_users.parquet", "golden.npz", "reference.parquet"

GOLDEN_COUNT = 8  # users whose features and scores prove a loaded bundle
SCORE_TOLERANCE = 1e-4  # another CPU may round a leaf's sum differently; a wrong model differs by far more


@dataclass(frozen=True)
class Bundle(RankingModel):
    """A loaded model with its manifest; implements `decision.protocols.Scorer`.

    `rehearsal` is the same recipe's ranker trained without the last horizon, `trial` without the last few:
    what later challengers are compared with on days that this bundle's ranker was trained on.
    """

    manifest: Manifest
    rehearsal: Ranker | None = None
    trial: Ranker | None = None

    @property
    def version(self) -> str:
        return self.manifest.version


def build_bundle(
    folder: Path,
    model: RankingModel,
    users: UserStates,
    facts: BundleFacts,
    reference: pa.Table | None = None,
    rehearsal: Ranker | None = None,
    trial: Ranker | None = None,
) -> Manifest:
    """Write the bundle aside and move it to `folder`; the same inputs give the same bytes and version.

    Of `users` (states at `facts.as_of_ms`) a few become the golden examples, under other names.
    `reference` is the behaviour profile that drift is measured against.
    """
    aside = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    model.ranker.save(aside / RANKER)
    write_arrays(aside / RETRIEVER, model.retriever.arrays())
    pq.write_table(model.items.table, aside / ITEMS)
    golden = _golden_users(users)
    pq.write_table(golden.table, aside / GOLDEN_USERS)
    write_arrays(aside / GOLDEN, golden_arrays(model, golden, facts.as_of_ms))
    names = [RANKER, RETRIEVER, ITEMS, GOLDEN_USERS, GOLDEN]
    if reference is not None:
        pq.write_table(reference, aside / REFERENCE)
        names.append(REFERENCE)
    for name, ranker in ((REHEARSAL, rehearsal), (TRIAL, trial)):
        if ranker is not None:
            ranker.save(aside / name)
            names.append(name)
    manifest = _manifest(aside, tuple(names), model, facts)
    manifest.write(aside)
    replace_folder(aside, folder)
    return manifest


def verify_bundle(folder: Path) -> Manifest:
    """Check every byte against the manifest without loading anything; raises IntegrityError."""
    manifest = read_manifest(folder)
    verify_files(folder, manifest)
    return manifest


def load_bundle(folder: Path) -> Bundle:
    """Verify, load, then score the golden examples again; raises IntegrityError on any difference."""
    manifest = verify_bundle(folder)
    items = ItemTable.from_table(pq.read_table(folder / ITEMS))
    config = RetrieverConfig.from_json(manifest.retriever)
    retriever = Retriever.from_arrays(items, read_arrays(folder / RETRIEVER), config)
    ranker = Ranker.load(folder / RANKER, manifest.feature_names)
    rehearsal, trial = (
        Ranker.load(folder / name, manifest.feature_names) if name in manifest.files else None
        for name in (REHEARSAL, TRIAL)
    )
    bundle = Bundle(ranker, retriever, manifest, rehearsal, trial)
    _check_golden(bundle, folder)
    return bundle


def read_reference(folder: Path) -> pa.Table | None:
    """The behaviour profile stored with a bundle, or None."""
    path = folder / REFERENCE
    return pq.read_table(path) if path.exists() else None


def _manifest(folder: Path, names: tuple[str, ...], model: RankingModel, facts: BundleFacts) -> Manifest:
    content: dict[str, Any] = {
        **asdict(facts),
        "feature_names": model.ranker.names,
        "feature_version": feature_version(model.ranker.names),
        "generators": model.retriever.names,
        "retriever": model.retriever.config.as_json(),
        "ranker": {"rounds": model.ranker.rounds},
        "files": describe_files(folder, names),
    }
    unnamed = Manifest(version="", **content)
    return Manifest(version=version_of(unnamed.as_json()), **content)


def _golden_users(users: UserStates) -> UserStates:
    """A few users of every activity, the ids taken away: a bundle outlives a person's erasure."""
    by_activity = np.lexsort((np.arange(len(users)), users.integers("event_count")))
    count = min(GOLDEN_COUNT, len(users))
    rows = by_activity[np.linspace(0, len(users) - 1, count).round().astype(np.int64)] if count else by_activity
    table = users.take(rows).table.combine_chunks()
    names = pa.array([f"golden-{place}" for place in range(count)], pa.string())
    return UserStates(table.set_column(0, table.schema.field(0), names))


def golden_arrays(model: RankingModel, golden: UserStates, at_ms: int) -> dict[str, np.typing.NDArray[np.generic]]:
    """Candidates, features and scores of the golden people at a moment: what a loaded bundle must say again."""
    batch = UserBatch.read(golden, Contexts.at(at_ms, len(golden)), model.items)
    candidates, features, scores = model.score_batch(batch)
    found: dict[str, np.typing.NDArray[np.generic]] = {
        "offsets": candidates.offsets,
        "item_index": candidates.item_index,
    }
    return {**found, "features": features, "scores": scores, "at_ms": np.asarray([at_ms], dtype=np.int64)}


def _check_golden(bundle: Bundle, folder: Path) -> None:
    """The loaded model must retrieve, assemble and score as it did when it was built, everybody together and one alone:
    what is compiled for either is then there before the first request."""
    stored = read_arrays(folder / GOLDEN)
    golden = UserStates.from_table(pq.read_table(folder / GOLDEN_USERS))
    again = golden_arrays(bundle, golden, int(np.asarray(stored["at_ms"]).item()))
    for name in ("offsets", "item_index"):
        if not np.array_equal(stored[name], again[name]):
            raise broken_bundle(folder, f"golden examples whose {name} came out differently")
    for name in ("features", "scores"):
        if not np.allclose(stored[name], again[name], rtol=SCORE_TOLERANCE, atol=SCORE_TOLERANCE, equal_nan=True):
            raise broken_bundle(folder, f"golden examples whose {name} came out differently")
    if len(golden):
        last = len(golden) - 1  # the busiest
        alone = bundle.score(golden.slice(last, 1), Contexts.at(int(np.asarray(stored["at_ms"]).item()), 1))
        if alone.features.tobytes() != again["features"][again["offsets"][last] :].tobytes():
            raise broken_bundle(folder, "a golden person who alone has other features than together with others")
