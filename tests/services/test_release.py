"""Promotion, canary, shadow, refusal and rollback on real bundles, without a server around them."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest
from bad_bundles import spoilt
from served_shop import LandedShop

from recommender.decision.pipeline import Decision, DecisionRequest, decide, deciding
from recommender.decision.protocols import Scorer, Scoring
from recommender.errors import GateError, InputError, IntegrityError, NoChampionError
from recommender.release_settings import ReleaseSettings
from services.champion import Champion, ChampionConfig, worker_facts
from services.lineup import Asked
from services.model_store import aliases, publish, set_alias
from services.release import canary_share, gets_canary, ledger, promote, refuse, release_facts, roll_back
from services.verdicts import Verdict, read_verdict, try_bundle, write_verdict

pytestmark = pytest.mark.slow


def test_a_share_of_the_people_is_drawn_by_their_ids_and_anew_for_each_version():
    people = [f"user-{number}" for number in range(10_000)]
    first, second = ({name for name in people if gets_canary(name, version, 0.1)} for version in ("a1", "b2"))
    assert first == {name for name in people if gets_canary(name, "a1", 0.1)}
    # Binomial with n = 10,000 and p = 0.1: the standard deviation is 30.
    assert abs(len(first) - 1_000) < 5 * 30
    # Independent draws share 0.1 × 0.1 × 10,000 = 100 people, with a standard deviation of 10.
    assert abs(len(first & second) - 100) < 5 * 10
    assert first < {name for name in people if gets_canary(name, "a1", 0.3)}  # whoever is in stays in as it grows
    assert not any(gets_canary(name, "a1", 0.0) for name in people)
    assert all(gets_canary(name, "a1", 1.0) for name in people)


def test_a_canary_is_shown_to_its_people_alone_and_then_promoted_to_all(own_shop):
    workspace, first = own_shop.workspace, own_shop.champion
    second = publish(workspace, own_shop.other_bundle)
    set_alias(workspace, "challenger", second)
    assert promote(workspace, canary=0.4) == {"champion": first, "challenger": second}
    assert canary_share(workspace) == (second, 0.4)
    champion = _opened(own_shop)
    answers = [_ask(champion, own_shop, user) for user in own_shop.user_ids[:60]]
    for answer in answers:
        is_canary = gets_canary(answer.request.subject, second, 0.4)
        assert (answer.variant, answer.model_version) == (("challenger", second) if is_canary else ("champion", first))
    assert len({answer.variant for answer in answers}) == 2
    promote(workspace)
    champion.refresh()
    assert {_ask(champion, own_shop, user).model_version for user in own_shop.user_ids[:20]} == {second}
    assert aliases(workspace) == {"champion": second, "previous": first}
    assert canary_share(workspace) == ("", 0.0)
    assert [(entry["what"], entry["version"]) for entry in ledger(workspace)] == [
        ("canary", second),
        ("champion", second),
    ]
    with pytest.raises(InputError, match="from 0 to 1"):
        promote(workspace, first, canary=1.5)
    champion.close()


def test_a_challenger_in_the_shadow_is_compared_and_never_shown(own_shop):
    workspace, first = own_shop.workspace, own_shop.champion
    second = publish(workspace, own_shop.other_bundle)
    set_alias(workspace, "challenger", second)
    champion = _opened(own_shop, ReleaseSettings(shadow_share=1.0))
    shown = []
    for user in own_shop.user_ids[:10]:
        shown.append(_ask(champion, own_shop, user))
        champion.shadow.drain()
    assert {answer.model_version for answer in shown} == {first}
    facts = champion.facts()
    # The two differ in name alone: the challenger would have shown the same items to everybody.
    assert facts["shadow"] == {"made": 10, "dropped": 0, "same_items": 1.0}
    assert facts["challenger"]["requests"] == 10
    assert worker_facts(workspace)[0]["challenger"]["version"] == second
    champion.close()
    assert worker_facts(workspace) == []


def test_a_bundle_whose_scores_turn_into_no_numbers_fails_nobody_and_is_rolled_back(own_shop, tmp_path):
    workspace, first = own_shop.workspace, own_shop.champion
    bad = publish(workspace, spoilt(own_shop.bundle, "nan_in_life", tmp_path / "bad"))
    champion = _opened(own_shop)
    promote(workspace, bad)  # its golden examples are fine
    champion.refresh()
    assert champion.version == bad
    plain = [_ask(champion, own_shop, user) for user in own_shop.user_ids[:5]]
    assert {(answer.model_version, answer.is_degraded) for answer in plain} == {(bad, False)}
    for user in own_shop.user_ids[:3]:
        answer = _ask(champion, own_shop, user, context_items=[own_shop.item_ids[0]])
        assert (answer.model_version, answer.tier, answer.is_degraded) == (first, "cold", True)
    champion.refresh()
    assert champion.version == first
    assert aliases(workspace) == {"champion": first}
    verdict = read_verdict(workspace, bad)
    assert (verdict.is_sound, verdict.stage) == (False, "service")
    assert verdict.reason == "3 of its last 8 requests could not be scored."
    # Neither the pipeline nor a worker takes it up again; a person may.
    with pytest.raises(GateError, match="3 of its last 8"):
        promote(workspace, bad, by="gate", retry=False)
    set_alias(workspace, "champion", bad)
    champion.refresh()
    assert (champion.version, aliases(workspace)["champion"]) == (first, first)
    promote(workspace, bad)
    champion.refresh()
    assert champion.version == bad
    champion.close()


def test_a_canary_that_fails_is_withdrawn_and_the_champion_answers_its_people(own_shop, tmp_path):
    workspace, first = own_shop.workspace, own_shop.champion
    bad = publish(workspace, spoilt(own_shop.bundle, "nan_in_life", tmp_path / "bad"))
    promote(workspace, bad, canary=1.0)
    champion = _opened(own_shop)
    answers = [_ask(champion, own_shop, user, context_items=[own_shop.item_ids[0]]) for user in own_shop.user_ids[:4]]
    assert {(answer.model_version, answer.variant, answer.is_degraded) for answer in answers} == {
        (first, "champion", True)
    }
    champion.refresh()
    assert _ask(champion, own_shop, "anybody").variant == "champion"
    assert aliases(workspace) == {"champion": first}
    assert bad in release_facts(workspace)["refused"]
    champion.close()


def test_decided_together_each_gets_its_own_answer_way_back_or_refusal(own_shop, tmp_path):
    bad = publish(own_shop.workspace, spoilt(own_shop.bundle, "nan_in_life", tmp_path / "bad"))
    promote(own_shop.workspace, bad, canary=0.5)
    champion = _opened(own_shop)
    viewed = {"context_items": [own_shop.item_ids[0]]}  # which the challenger cannot score
    asked = [(user, viewed if place % 3 == 0 else {}) for place, user in enumerate(own_shop.user_ids[:12])]
    asked.append((own_shop.user_ids[0], {"filter": {"unheard_of": "red"}}))
    *together, refused = _ask_together(champion, own_shop, asked)
    assert isinstance(refused, InputError)
    alone = [_ask(champion, own_shop, user, **more) for user, more in asked[:-1]]
    assert [made.to_row() for made in together] == [made.to_row() for made in alone]
    assert {(made.variant, made.is_degraded) for made in together} == {
        ("champion", False),
        ("challenger", False),
        ("champion", True),
    }
    champion.close()


def test_scores_that_are_the_same_for_every_item_are_rolled_back(own_shop, tmp_path):
    workspace, first = own_shop.workspace, own_shop.champion
    bad = publish(workspace, spoilt(own_shop.bundle, "constant_in_life", tmp_path / "bad"))
    champion = _opened(own_shop)
    promote(workspace, bad)
    champion.refresh()
    for user in own_shop.user_ids[:20]:
        _ask(champion, own_shop, user, context_items=[own_shop.item_ids[0]])
    champion.refresh()
    assert champion.version == first
    assert read_verdict(workspace, bad).reason == "scores were the same for every item in 20 of its last 20 requests."
    champion.close()


def test_a_champion_that_turns_bad_long_after_it_had_proven_itself_is_rolled_back_once(own_shop, tmp_path):
    """It is held against it only beside the bundle before it, which is loaded again; the one gone back to stays."""
    workspace, first = own_shop.workspace, own_shop.champion
    bad = publish(workspace, spoilt(own_shop.bundle, "nan_in_life", tmp_path / "bad"))
    champion = _opened(own_shop, config=ChampionConfig(probation_requests=20, probation_seconds=0.0))
    promote(workspace, bad)
    champion.refresh()
    for user in own_shop.user_ids[:20]:
        _ask(champion, own_shop, user)
    champion.refresh()
    assert champion.versions == (bad,)  # it has proven itself, the one before it is let go
    spoiling = {"context_items": [own_shop.item_ids[0]]}
    alone = [_ask(champion, own_shop, user, **spoiling) for user in own_shop.user_ids[:3]]
    assert {(answer.model_version, answer.tier) for answer in alone} == {(bad, "popular")}
    champion.refresh()
    assert champion.versions == (bad, first)
    assert champion.facts()["suspected"] == "3 of its last 23 requests could not be scored."
    beside = [_ask(champion, own_shop, user, **spoiling) for user in own_shop.user_ids[:3]]
    assert {(answer.model_version, answer.tier, answer.is_degraded) for answer in beside} == {(first, "cold", True)}
    champion.refresh()
    assert (champion.versions, aliases(workspace)) == ((first,), {"champion": first})
    assert read_verdict(workspace, bad).reason == "3 of its last 26 requests could not be scored."
    assert [(entry["what"], entry["version"]) for entry in ledger(workspace)][-1] == ("rolled back", bad)
    for _ in range(400):
        champion.required().champion.health.unscored(0.001)
    champion.refresh()
    assert (champion.versions, aliases(workspace)) == ((first,), {"champion": first})
    champion.close()


def test_what_ails_every_bundle_accuses_none(own_shop):
    """Requests that take long because the machine does lead to a second look, and to nothing else."""
    workspace, first = own_shop.workspace, own_shop.champion
    second = publish(workspace, own_shop.other_bundle)
    champion = _opened(
        own_shop, config=ChampionConfig(probation_requests=20, probation_seconds=0.0, timing_seconds=0.0)
    )
    promote(workspace, second)
    champion.refresh()
    answers = [_ask(champion, own_shop, user) for user in own_shop.user_ids[:20]]
    champion.refresh()
    assert champion.versions == (second,)
    usual = champion.required().champion.health.usual_seconds
    for _ in range(50):
        champion.required().champion.health.answered(answers[0], 10 * usual + 1.0)
    champion.refresh()
    assert champion.versions == (second, first)
    champion.refresh()  # timed side by side they take the same
    assert (champion.version, aliases(workspace)["champion"]) == (second, second)
    champion.close()


def test_a_bad_bundle_is_not_promoted_and_says_why(own_shop, tmp_path):
    workspace = own_shop.workspace
    bad = publish(workspace, spoilt(own_shop.bundle, "nan_scores", tmp_path / "bad"))
    with pytest.raises(GateError, match="golden scores that are no number"):
        promote(workspace, bad)
    assert aliases(workspace) == {"champion": own_shop.champion}
    assert ledger(workspace)[-1]["what"] == "refused"
    with pytest.raises(IntegrityError, match="not in the model store"):
        promote(workspace, "0123456789abcdef")
    with pytest.raises(NoChampionError, match="no challenger"):
        promote(workspace)


def test_one_of_many_tries_a_bundle_and_all_know(own_shop):
    workspace = own_shop.workspace
    found: list[Verdict] = []
    threads = [
        threading.Thread(target=lambda: found.append(try_bundle(workspace, own_shop.champion))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Four trials would have measured four different times.
    assert [verdict.facts for verdict in found] == [found[0].facts] * 4
    assert found[0].is_sound
    write_verdict(workspace, replace(found[0], machine="another", is_sound=False, reason="elsewhere"))
    assert try_bundle(workspace, own_shop.champion).is_sound  # what another machine found is found again here


def test_rolling_back_by_hand_refuses_the_champion_until_it_is_promoted_by_hand(own_shop):
    workspace, first = own_shop.workspace, own_shop.champion
    second = publish(workspace, own_shop.other_bundle)
    with pytest.raises(NoChampionError, match="no `previous`"):
        roll_back(workspace)
    promote(workspace, second)
    assert roll_back(workspace) == {"champion": first}
    assert release_facts(workspace)["refused"] == {second: "rolled back by hand."}
    assert promote(workspace, second) == {"champion": second, "previous": first}
    assert release_facts(workspace)["refused"] == "none"


def test_refusals_at_the_same_time_make_one_rollback_and_a_lone_champion_stays(own_shop):
    workspace, first = own_shop.workspace, own_shop.champion
    assert refuse(workspace, first, "it turned odd.") == {"champion": first}
    assert read_verdict(workspace, first) is None or read_verdict(workspace, first).is_sound
    second = publish(workspace, own_shop.other_bundle)
    promote(workspace, second)
    threads = [threading.Thread(target=refuse, args=(workspace, second, f"found by {name}.")) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert aliases(workspace) == {"champion": first}
    assert [entry["what"] for entry in ledger(workspace)].count("rolled back") == 1


def _opened(
    shop: LandedShop, settings: ReleaseSettings | None = None, config: ChampionConfig | None = None
) -> Champion:
    champion = Champion(shop.workspace, lambda: settings or ReleaseSettings(), config)
    champion.refresh()
    return champion


def _ask(champion: Champion, shop: LandedShop, user: str, **more: Any) -> Decision:
    asked = _asked(shop, user, more)
    return champion.required().decide(asked.subject, asked.decision_id, asked.make, False, champion.shadow)


def _ask_together(champion: Champion, shop: LandedShop, asked: list[tuple[str, dict[str, Any]]]) -> list[Any]:
    requests = [_asked(shop, user, more) for user, more in asked]
    return champion.required().decide_together(requests, lambda scorer: scorer, champion.shadow)


def _asked(shop: LandedShop, user: str, more: dict[str, Any]) -> Asked:
    request = DecisionRequest.parse({"user_id": user, **more}, f"{user}-{len(more)}", shop.as_of_ms)

    def make(scorer: Scorer, variant: str, is_degraded: bool) -> Decision:
        return decide(request, None, (), scorer, variant=variant, is_degraded=is_degraded)

    def begin(scorer: Scorer, variant: str, is_degraded: bool) -> Scoring[Decision]:
        return deciding(request, None, (), scorer, variant=variant, is_degraded=is_degraded)

    return Asked(request.subject, request.decision_id, make, begin, False)
