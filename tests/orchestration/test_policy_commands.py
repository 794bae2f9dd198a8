"""`nextbest policy fit | probabilities | evaluate` on files, from a log to a verdict, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestration.cli import main

N = 3_000


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Three mails at random; green ones earn .5 of those who live in town, .2 elsewhere, red ones .3 of all."""
    rng = np.random.default_rng(2)
    town, mail = rng.random(N) < 0.5, rng.integers(1, 4, N)
    mean = np.select([mail == 1, mail == 2], [np.where(town, 0.5, 0.2), np.full(N, 0.3)], 0.05)
    visit = rng.random(N) < mean
    table = {
        "home": np.where(town, "town", "village"),
        "age": rng.integers(18, 80, N),
        "action": mail,
        "propensity": np.full(N, 1 / 3),
        "visit": visit,
        "spend": np.where(visit & (rng.random(N) < 0.3), rng.gamma(2.0, 30.0, N), 0.0),
    }
    pq.write_table(pa.table(table), tmp_path / "log.parquet")
    return tmp_path / "log.parquet"


@pytest.mark.slow
def test_from_a_log_to_a_verdict(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy, chances, page = log.parent / "policy", log.parent / "chances.parquet", log.parent / "page.html"
    words = ["--log", str(log), "--reward", "visit"]
    assert main(["policy", "fit", *words, "--out", str(policy), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["features"] == ["home", "age"]
    assert set(told["left_out"]) == {"spend"}
    assert told["proof"]["personal"]

    assert (
        main(["policy", "probabilities", "--policy", str(policy), "--contexts", str(log), "--out", str(chances)]) == 0
    )
    table = pq.read_table(chances)
    assert table.column_names == ["row", "action", "probability"]
    assert table["action"].to_pylist()[:3] == [1, 2, 3]
    sums = np.bincount(table["row"].to_numpy(), weights=table["probability"].to_numpy())
    assert sums.tolist() == [1.0] * N

    capsys.readouterr()
    judged = ["policy", "evaluate", *words, "--probabilities", str(chances), "--page", str(page), "--json"]
    assert main(judged) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["verdict"] == "promote"
    for name in ("ips", "snips", "dr"):
        low, high = report[name]["interval"]
        # Half live in town: (.5 + .3) / 2.
        assert low < report[name]["value"] < high
        assert low - 0.02 < 0.4 < high + 0.02
    assert set(report["fixed"]) == {"1", "2", "3"}
    assert report["uniform"]["ess"] == pytest.approx(N)
    assert report["sentence"].split(": ")[0] == "Promote"
    html = page.read_text()
    assert report["sentence"].split(" against")[0] in html
    assert "http" not in html.replace("http://www.w3.org", "")


def test_a_policy_that_the_log_cannot_judge_is_refused_with_the_figures(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chances = log.parent / "chances.parquet"
    pq.write_table(pa.table({"row": np.arange(N), "action": np.full(N, 9), "probability": np.ones(N)}), chances)
    words = ["--log", str(log), "--reward", "visit", "--probabilities", str(chances), "--json"]
    assert main(["policy", "evaluate", *words]) == 1
    streams = capsys.readouterr()
    report = json.loads(streams.out)
    assert (report["ips"], report["verdict"]) == (None, "not_enough_evidence")
    assert report["support"]["supported"] is False
    assert report["fixed"]["1"]["dr"] is not None
    assert "it takes 9 in 100.0% of cases, the log in none" in streams.err


def test_what_contexts_lack_is_said_and_bad_files_are_sentences(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy, out = log.parent / "policy", log.parent / "chances.parquet"
    fit = ["policy", "fit", "--log", str(log), "--reward", "visit", "--kind", "lints", "--out", str(policy)]
    assert main([*fit, "--features", "home,age"]) == 0
    contexts = log.parent / "contexts.parquet"
    pq.write_table(pa.table({"home": ["moon", "town"]}), contexts)
    apply = ["policy", "probabilities", "--policy", str(policy), "--contexts", str(contexts), "--out", str(out)]
    capsys.readouterr()
    assert main(apply) == 0
    told = capsys.readouterr().err
    assert "age is not among the contexts" in told
    assert "home has a value in 1 rows that was not frequent in the log" in told
    (policy / "linear.json").write_bytes(b"{}")
    assert main(apply) == 1
    assert "other bytes than were written in linear.json" in capsys.readouterr().err
    assert main(["policy", "fit", "--log", str(log), "--out", str(policy)]) == 1
    assert "reward missing" in capsys.readouterr().err


def test_a_folder_that_holds_something_else_is_not_replaced(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit = ["policy", "fit", "--log", str(log), "--reward", "visit", "--kind", "fixed", "--out"]
    assert main([*fit, str(log.parent)]) == 1
    assert "which exists and is no policy" in capsys.readouterr().err
    assert log.is_file()
    for again in range(2):
        assert main([*fit, str(log.parent / "policy")]) == 0, again


def test_a_log_of_a_few_people_gets_the_best_action_and_no_proof_is_tried(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pq.read_table(log).append_column("user_id", pa.array(["u1"] * N))
    pq.write_table(table, log)
    out = log.parent / "policy"
    assert main(["policy", "fit", "--log", str(log), "--reward", "visit", "--out", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["kind"], "proof" in told) == ("fixed", False)
    assert told["sentence"].startswith("The log has 1 decisions that are each by themselves, fewer than 30")


@pytest.mark.parametrize(
    "words",
    [("--floor", "2"), ("--floor", "nan"), ("--seed", "-1"), ("--seed", "99999999999")],
    ids=" ".join,
)
def test_words_out_of_range_are_usage_errors(
    log: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["policy", "fit", "--log", str(log), "--out", str(log.parent / "policy"), *words])
    assert f"found {words[1]}, expected" in capsys.readouterr().err


def test_chances_in_words_and_places_that_cannot_be_written_are_sentences(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy, chances = log.parent / "policy", log.parent / "chances.parquet"
    assert (
        main(["policy", "fit", "--log", str(log), "--reward", "visit", "--kind", "uniform", "--out", str(policy)]) == 0
    )
    apply = ["policy", "probabilities", "--policy", str(policy), "--contexts", str(log), "--out"]
    assert main([*apply, str(log.parent)]) == 1
    assert "cannot be written" in capsys.readouterr().err
    pq.write_table(pa.table({"row": np.arange(N), "action": np.full(N, 1), "probability": ["all"] * N}), chances)
    assert main(["policy", "evaluate", "--log", str(log), "--reward", "visit", "--probabilities", str(chances)]) == 1
    assert "probabilities of type string" in capsys.readouterr().err
