"""Bundles that must not serve, each made from a real one: what a training gone wrong or a broken disk leaves behind.

Where nothing else is said, manifest and hashes fit the spoilt files, and the golden examples are what the spoilt
model says itself: only looking at what it does can tell.
"""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import xgboost as xgb

from recommender.model.bundle import GOLDEN, GOLDEN_USERS, ITEMS, RANKER, RETRIEVER, golden_arrays
from recommender.model.manifest import describe_files, read_manifest, version_of
from recommender.model.ranker import Ranker
from recommender.model.scorer import RankingModel
from recommender.retrieval.retriever import Retriever, RetrieverConfig
from recommender.retrieval.storage import read_arrays, write_arrays
from recommender.states import ItemTable, UserStates

__all__ = ["AFTER", "BEFORE", "IN_LIFE", "renamed", "spoilt"]

Spoil = Callable[[Path], None]
LIVE_FEATURE = "context_items"  # 0 for golden people; above that where a request names items


def spoilt(bundle: Path, name: str, folder: Path) -> Path:
    """A copy of a bundle, spoilt in the way of that name, with a version of its own."""
    shutil.copytree(bundle, folder)
    (BEFORE | IN_LIFE)[name](folder)
    _rename(folder, name)
    return folder


def renamed(bundle: Path, name: str, folder: Path) -> Path:
    """A copy of a bundle that differs in version alone."""
    shutil.copytree(bundle, folder)
    _rename(folder, name)
    return folder


def nan_scores(folder: Path) -> None:
    _leaves(folder, lambda values: np.full_like(values, np.nan))
    _golden_as_it_is(folder)


def constant_scores(folder: Path) -> None:
    _leaves(folder, np.zeros_like)
    _golden_as_it_is(folder)


def slow(folder: Path, times: int = 300) -> None:
    """The same trees again and again, the copies with leaves of 0."""

    def repeated(model: dict[str, Any]) -> None:
        trees = model["trees"]
        count = len(trees)
        idle = [tree | {"split_conditions": _with_leaves(tree, np.zeros_like)} for tree in trees]
        for turn in range(1, times):
            trees += [tree | {"id": turn * count + place} for place, tree in enumerate(idle)]
        model["tree_info"] = [0] * len(trees)
        model["iteration_indptr"] = list(range(len(trees) + 1))
        model["gbtree_model_param"]["num_trees"] = str(len(trees))

    _booster(folder, repeated)


def slower(folder: Path) -> None:
    """Slow by far less: within what a trial allows, far above what was served before."""
    slow(folder, times=120)


def fewer_columns(folder: Path) -> None:
    manifest = read_manifest(folder)
    replace(manifest, feature_names=manifest.feature_names[:-1]).write(folder)


def ranker_of_other_columns(folder: Path) -> None:
    def narrowed(learner: dict[str, Any]) -> None:
        learner["learner_model_param"]["num_feature"] = "7"

    _learner(folder, narrowed)


def corrupt_ranker(folder: Path) -> None:
    """Bytes at random: of twelve seeds one ended the process that read it by SIGSEGV, the others by an exception."""
    _scramble(folder / RANKER, seed=4, share=0.002)


def wild_tree(folder: Path) -> None:
    """A child far outside of its tree: scoring reads beside the model's memory."""

    def strayed(model: dict[str, Any]) -> None:
        for tree in model["trees"]:
            tree["left_children"][0] = tree["right_children"][0] = 1 << 30

    _booster(folder, strayed)


def corrupt_retriever(folder: Path) -> None:
    _scramble(folder / RETRIEVER, seed=6, share=0.001)


def no_items(folder: Path) -> None:
    table = pq.read_table(folder / ITEMS)
    pq.write_table(table.slice(0, 0), folder / ITEMS)


def other_golden(folder: Path) -> None:
    """The examples of one model beside the trees of another."""
    _leaves(folder, lambda values: 2 * values)


def huge(folder: Path) -> None:
    """A retriever that claims a terabyte in a few bytes."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (1 << 37,)})
    with zipfile.ZipFile(folder / RETRIEVER, "a") as archive:
        archive.writestr("aside.npy", header.getvalue())


def nan_in_life(folder: Path) -> None:
    """Fine for everybody golden; no number as soon as a request names items."""
    _split_on_context(folder, np.nan)


def constant_in_life(folder: Path) -> None:
    """One leaf so large that float32 swallows all the others."""
    _split_on_context(folder, 1e30)


def truncated(folder: Path) -> None:
    data = (folder / RANKER).read_bytes()
    (folder / RANKER).write_bytes(data[: len(data) // 2])


def flipped_byte(folder: Path) -> None:
    data = (folder / RETRIEVER).read_bytes()
    (folder / RETRIEVER).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def missing_file(folder: Path) -> None:
    (folder / ITEMS).unlink()


# Spoilt before they were published, with hashes that fit; after, with hashes that do not; those that only life tells.
BEFORE: dict[str, Spoil] = {
    made.__name__: made
    for made in (
        nan_scores, constant_scores, slow, fewer_columns, ranker_of_other_columns, corrupt_ranker, wild_tree,
        corrupt_retriever, no_items, other_golden, huge,
    )
}  # fmt: skip
AFTER: dict[str, Spoil] = {made.__name__: made for made in (truncated, flipped_byte, missing_file)}
IN_LIFE: dict[str, Spoil] = {made.__name__: made for made in (nan_in_life, constant_in_life, slower)}


def _rename(folder: Path, commit: str) -> None:
    """Hashes and version as the files are now."""
    content = json.loads((folder / "manifest.json").read_bytes())
    content |= {"commit": commit, "files": describe_files(folder, tuple(content["files"]))}
    content["version"] = version_of(content)
    (folder / "manifest.json").write_text(json.dumps(content))


def _learner(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    booster = xgb.Booster()
    booster.load_model(bytearray((folder / RANKER).read_bytes()))
    model = json.loads(bytes(booster.save_raw("json")))
    change(model["learner"])
    changed = xgb.Booster()
    changed.load_model(bytearray(json.dumps(model).encode()))
    (folder / RANKER).write_bytes(bytes(changed.save_raw("ubj")))


def _booster(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    _learner(folder, lambda learner: change(learner["gradient_booster"]["model"]))


def _leaves(folder: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    def changed(model: dict[str, Any]) -> None:
        model["trees"] = [tree | {"split_conditions": _with_leaves(tree, change)} for tree in model["trees"]]

    _booster(folder, changed)


def _with_leaves(tree: dict[str, Any], change: Callable[[np.ndarray], np.ndarray]) -> list[float]:
    is_leaf = np.asarray(tree["left_children"]) == -1
    values = np.asarray(tree["split_conditions"], dtype=np.float64)
    return np.where(is_leaf, change(values), values).tolist()


def _split_on_context(folder: Path, leaf: float) -> None:
    """Make the first tree a stump on LIVE_FEATURE: 0 on the left, `leaf` on the right."""
    column = read_manifest(folder).feature_names.index(LIVE_FEATURE)

    def stumped(model: dict[str, Any]) -> None:
        tree = model["trees"][0]
        model["trees"][0] = tree | {
            "left_children": [1, -1, -1],
            "right_children": [2, -1, -1],
            "parents": [2147483647, 0, 0],
            "split_indices": [column, 0, 0],
            "split_conditions": [0.5, 0.0, leaf],
            "split_type": [0, 0, 0],
            "default_left": [1, 0, 0],
            "base_weights": [0.0, 0.0, leaf],
            "loss_changes": [1.0, 0.0, 0.0],
            "sum_hessian": [2.0, 1.0, 1.0],
            "tree_param": tree["tree_param"] | {"num_nodes": "3"},
        }

    _booster(folder, stumped)
    _golden_as_it_is(folder)


def _golden_as_it_is(folder: Path) -> None:
    """What the spoilt model says of the golden people, as its own golden examples."""
    manifest = read_manifest(folder)
    items = ItemTable.from_table(pq.read_table(folder / ITEMS))
    config = RetrieverConfig.from_json(manifest.retriever)
    retriever = Retriever.from_arrays(items, read_arrays(folder / RETRIEVER), config)
    model = RankingModel(Ranker.load(folder / RANKER, manifest.feature_names), retriever)
    golden = UserStates.from_table(pq.read_table(folder / GOLDEN_USERS))
    write_arrays(folder / GOLDEN, golden_arrays(model, golden, manifest.as_of_ms))


def _scramble(path: Path, seed: int, share: float) -> None:
    """Random bytes over a share of the file, as a bad disk or a bad copy leaves it."""
    data = np.frombuffer(path.read_bytes(), dtype=np.uint8).copy()
    rng = np.random.default_rng(seed)
    places = rng.choice(len(data), max(8, int(share * len(data))), replace=False)
    data[places] = rng.integers(0, 256, len(places))
    path.write_bytes(data.tobytes())
