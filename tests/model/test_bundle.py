"""The bundle: the same inputs give the same bytes, and anything else than those bytes is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from fitted_shop import RANKER, Shop

from recommender.decision.protocols import Scorer
from recommender.errors import IntegrityError
from recommender.model.bundle import Bundle, BundleFacts, build_bundle, load_bundle, verify_bundle
from recommender.model.manifest import version_of
from recommender.model.ranker import fit_ranker
from recommender.model.scorer import RankingModel
from recommender.model.training_set import TrainingSet
from recommender.states import Contexts


@pytest.fixture
def copied(bundle_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle_folder, tmp_path / "copy"))


def test_a_loaded_bundle_scores_as_the_model_did(bundle: Bundle, model: RankingModel, shop: Shop) -> None:
    scorer: Scorer = bundle
    user, context = shop.now.users.slice(2, 1), Contexts.at(shop.now.as_of_ms, 1)
    ours, theirs = scorer.score(user, context), model.score(user, context)
    assert ours.item_index.tobytes() == theirs.item_index.tobytes()
    assert ours.features.tobytes() == theirs.features.tobytes()
    assert ours.scores.tobytes() == theirs.scores.tobytes()
    assert scorer.version == bundle.manifest.version
    assert scorer.feature_version == bundle.manifest.feature_version


def test_building_twice_gives_the_same_bytes_and_version(
    bundle_folder: Path, shop: Shop, training: TrainingSet, model: RankingModel, tmp_path: Path
) -> None:
    facts = BundleFacts(shop.now.as_of_ms, data_fingerprint="small shop")
    refitted = RankingModel(fit_ranker(training, RANKER, seed=3), model.retriever)
    manifests = [
        build_bundle(tmp_path / name, made, shop.now.users, facts) for name, made in (("one", model), ("two", refitted))
    ]
    assert manifests[0] == manifests[1]
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name
    assert manifests[0].version != verify_bundle(bundle_folder).version  # that one has a rehearsal


def test_another_fact_is_another_version(shop: Shop, model: RankingModel, tmp_path: Path) -> None:
    versions = {
        build_bundle(tmp_path / commit, model, shop.now.users, BundleFacts(shop.now.as_of_ms, commit=commit)).version
        for commit in ("a", "b")
    }
    assert len(versions) == 2
    assert all(version.isalnum() and len(version) == 16 for version in versions)


def test_building_over_an_older_bundle_replaces_it_whole(copied: Path, shop: Shop, model: RankingModel) -> None:
    manifest = build_bundle(copied, model, shop.now.users, BundleFacts(shop.now.as_of_ms))
    assert sorted(path.name for path in copied.iterdir()) == sorted([*manifest.files, "manifest.json"])
    assert verify_bundle(copied) == manifest


@pytest.mark.parametrize("name", ["ranker.ubj", "retriever.npz", "items.parquet", "golden.npz", "rehearsal.ubj"])
def test_a_changed_truncated_or_missing_file_is_refused_before_it_is_parsed(copied: Path, name: str) -> None:
    path = copied / name
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for damaged in (bytes(flipped), whole[: len(whole) // 2], b"", whole + b"\0"):
        path.write_bytes(damaged)
        with pytest.raises(IntegrityError, match=name):
            load_bundle(copied)
    path.unlink()
    with pytest.raises(IntegrityError, match=name):
        verify_bundle(copied)


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"format": 1}'])
def test_an_unreadable_manifest_is_refused(copied: Path, text: str) -> None:
    (copied / "manifest.json").write_text(text)
    with pytest.raises(IntegrityError, match="manifest"):
        verify_bundle(copied)


def test_a_manifest_edited_by_hand_is_refused(copied: Path) -> None:
    path = copied / "manifest.json"
    content = json.loads(path.read_text())
    content["metrics"] = {"repeat ndcg@10": 0.99}
    path.write_text(json.dumps(content))
    with pytest.raises(IntegrityError, match="does not add up to its own version"):
        verify_bundle(copied)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"manifest that cannot be read"):
        load_bundle(tmp_path / "nothing")


def test_golden_examples_catch_a_model_that_is_whole_but_not_the_one_described(
    copied: Path, shop: Shop, model: RankingModel, training: TrainingSet, tmp_path: Path
) -> None:
    """Hashes that agree with a manifest made for the wrong ranker: only scoring can tell."""
    other = RankingModel(fit_ranker(training, RANKER, seed=99), model.retriever)
    build_bundle(tmp_path / "other", other, shop.now.users, BundleFacts(shop.now.as_of_ms))
    wrong = json.loads((tmp_path / "other" / "manifest.json").read_text())
    shutil.copy(copied / "golden.npz", tmp_path / "other" / "golden.npz")
    wrong["files"]["golden.npz"] = verify_bundle(copied).files["golden.npz"]
    wrong["version"] = version_of(wrong)
    (tmp_path / "other" / "manifest.json").write_text(json.dumps(wrong))
    verify_bundle(tmp_path / "other")
    with pytest.raises(IntegrityError, match="golden examples whose scores came out differently"):
        load_bundle(tmp_path / "other")


def test_no_users_name_is_in_a_bundle(bundle_folder: Path, shop: Shop) -> None:
    stored = b"".join(path.read_bytes() for path in bundle_folder.iterdir())
    assert not [name for name in shop.now.users.user_ids if name.encode() in stored]
    assert b"golden-0" in stored


def test_a_manifest_holds_where_it_came_from(bundle: Bundle, shop: Shop) -> None:
    manifest = bundle.manifest
    assert manifest.as_of_ms == shop.now.as_of_ms
    assert manifest.rehearsed_until_ms == shop.holdout.as_of_ms
    assert manifest.data_fingerprint == "small shop"
    assert tuple(manifest.feature_names) == bundle.ranker.names
    assert manifest.ranker["rounds"] == 20
    assert np.isfinite(bundle.popular(3).scores).all()
