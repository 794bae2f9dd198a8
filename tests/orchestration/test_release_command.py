"""`nextbest promote`, `nextbest rollback` and the gate: words to aliases, and a sentence where that cannot be."""

from __future__ import annotations

import json
import shutil

import pytest
from served_shop import LandedShop

from orchestration.cli import main
from orchestration.training import release
from recommender.model.evaluation import CHALLENGER
from recommender.model.manifest import read_manifest
from services.model_store import aliases, publish
from services.release import canary_share, promote, roll_back

pytestmark = pytest.mark.slow


def test_a_bundle_goes_to_some_people_then_to_all_and_back_again(own_shop, monkeypatch, capsys):
    workspace, first = own_shop.workspace, own_shop.champion
    monkeypatch.setenv("NEXTBEST_HOME", str(workspace.root))
    second = publish(workspace, own_shop.other_bundle)
    assert main(["promote"]) == 1
    assert "no challenger" in capsys.readouterr().err
    assert main(["promote", second, "--canary", "0.2"]) == 0
    assert (aliases(workspace), canary_share(workspace)) == ({"champion": first, "challenger": second}, (second, 0.2))
    assert "for 0.2 of the people" in capsys.readouterr().err
    assert main(["promote"]) == 0
    assert aliases(workspace) == {"champion": second, "previous": first}
    assert main(["rollback"]) == 0
    assert aliases(workspace) == {"champion": first}
    assert main(["rollback"]) == 1
    assert "no `previous`" in capsys.readouterr().err


def test_the_gate_begins_with_a_canary_where_the_operator_wants_one(own_shop):
    workspace, first = own_shop.workspace, own_shop.champion
    second = _judged(own_shop)
    workspace.configuration.write_text("release: {canary_share: 0.05}")
    released = release(workspace)
    assert (released.is_promoted, released.canary_share) == (True, 0.05)
    assert aliases(workspace) == {"champion": first, "challenger": second}


def test_the_gate_does_not_bring_back_what_was_refused(own_shop):
    workspace, first = own_shop.workspace, own_shop.champion
    second = _judged(own_shop)
    publish(workspace, own_shop.other_bundle)
    promote(workspace, second)
    roll_back(workspace)
    released = release(workspace)
    assert not released.is_promoted
    assert released.reasons[-1] == f"The gate let it pass, but {second} is refused: rolled back by hand."
    assert aliases(workspace)["champion"] == first


def _judged(shop: LandedShop) -> str:
    """The second bundle as a challenger that the gate let pass; its version."""
    folder = shop.workspace.models / "challenger"
    shutil.copytree(shop.other_bundle, folder)
    version = read_manifest(folder).version
    verdict = {"version": version, "promote": True, "reasons": ["It is better."]}
    (shop.workspace.models / "verdict.json").write_text(json.dumps(verdict))
    (shop.workspace.models / "evidence.json").write_text(json.dumps({"figures": {CHALLENGER: {}}}))
    return version
