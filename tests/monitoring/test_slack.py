"""Slack through a real local server that speaks its protocol: delivered, slowed down, refused, broken, gone."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from monitoring.drift import ColumnDrift, DriftResult
from monitoring.slack import Slack, SlackConfig
from monitoring.slack_messages import (
    Figure,
    Message,
    drift_found,
    retrain_finished,
    retrain_started,
    run_failed,
    validation_stopped,
)
from monitoring.slack_outbox import Outbox
from orchestration.slack_receiver import ScriptedAnswer, SlackReceiver, print_message

HASTY = SlackConfig(timeout_seconds=20, retries=1, wait_seconds=0.01, longest_wait_seconds=2)


def message(text: str) -> Message:
    return run_failed(text, run_id="run-1", step="ranker", error="ValueError: 3 columns")


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    return tmp_path / "slack_outbox.jsonl"


@pytest.fixture
def closed_port() -> str:
    """An address where nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    return f"http://127.0.0.1:{port}/services/T0/B0/secretsecret"


@pytest.fixture
def silent_port() -> Iterator[str]:
    """A server that accepts and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/services/T0/B0/secretsecret"


def test_delivered(outbox: Path) -> None:
    with SlackReceiver() as slack:
        result = Slack(slack.url, outbox).send(message("daily"))
    assert result.delivered
    assert [body["text"] for body in slack.messages] == ["Run failed: daily"]
    assert not outbox.exists()


def test_not_configured() -> None:
    for nothing in (None, ""):
        result = Slack(nothing).send(message("daily"))
        assert not result.delivered
        assert "not configured" in result.detail


@pytest.mark.slow
def test_rate_limit_is_waited_for_as_long_as_slack_says() -> None:
    with SlackReceiver([ScriptedAnswer(429, "rate_limited", {"Retry-After": "1"})]) as slack:
        begun = time.monotonic()
        result = Slack(slack.url, config=HASTY).send(message("daily"))
        waited = time.monotonic() - begun
    assert result.delivered
    assert slack.attempts == 2
    assert waited >= 1.0


@pytest.mark.parametrize("wait", ["3600", "Wed, 21 Oct 2026 07:28:00 GMT", ""])
def test_a_long_or_unreadable_rate_limit_is_not_waited_for(outbox: Path, wait: str) -> None:
    with SlackReceiver([ScriptedAnswer(429, "rate_limited", {"Retry-After": wait})]) as slack:
        result = Slack(slack.url, outbox, HASTY).send(message("daily"))
    assert not result.delivered
    assert "429" in result.detail
    assert slack.attempts == 1
    assert len(Outbox(outbox, 10).waiting()) == 1


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_error_is_tried_again(status: int) -> None:
    with SlackReceiver([ScriptedAnswer(status)]) as slack:
        assert Slack(slack.url, config=HASTY).send(message("daily")).delivered
    assert slack.attempts == 2


def test_lasting_server_errors_end_in_the_outbox(outbox: Path) -> None:
    with SlackReceiver([ScriptedAnswer(500)] * 2) as slack:
        result = Slack(slack.url, outbox, HASTY).send(message("daily"))
    assert not result.delivered
    assert "500" in result.detail
    assert "outbox" in result.detail
    assert slack.attempts == 1 + HASTY.retries


def test_nobody_there(closed_port: str, outbox: Path) -> None:
    result = Slack(closed_port, outbox, HASTY).send(message("daily"))
    assert not result.delivered
    assert "refused" in result.detail
    assert len(Outbox(outbox, 10).waiting()) == 1


@pytest.mark.slow
def test_a_server_that_hangs_is_given_up(silent_port: str) -> None:
    result = Slack(silent_port, config=replace(HASTY, timeout_seconds=1)).send(message("daily"))
    assert not result.delivered
    assert "timed out" in result.detail


@pytest.mark.parametrize("url", ["not an address", "ftp://127.0.0.1/x", "http://", "http://[::1", "file:///etc/passwd"])
def test_a_wrong_address_is_an_answer_and_no_exception(url: str) -> None:
    result = Slack(url, config=HASTY).send(message("daily"))
    assert not result.delivered
    assert url not in result.detail


def test_a_page_that_is_not_slacks_is_no_delivery() -> None:
    with SlackReceiver([ScriptedAnswer(200, "<html>Please log in to the network</html>")]) as slack:
        assert not Slack(slack.url, config=HASTY).send(message("daily")).delivered


def test_the_outbox_goes_first_and_in_order(outbox: Path, closed_port: str) -> None:
    for text in ("one", "two"):
        Slack(closed_port, outbox, SlackConfig(retries=0)).send(message(text))
    with SlackReceiver() as slack:
        assert Slack(slack.url, outbox, HASTY).send(message("three")).delivered
    assert [body["text"] for body in slack.messages] == ["Run failed: one", "Run failed: two", "Run failed: three"]
    assert Outbox(outbox, 10).waiting() == []


def test_a_message_that_slack_will_never_take_does_not_block_the_others(outbox: Path) -> None:
    Outbox(outbox, 10).keep({"neither": "text nor blocks"})
    with SlackReceiver() as slack:
        assert Slack(slack.url, outbox, HASTY).send(message("next")).delivered
    assert [body["text"] for body in slack.messages] == ["Run failed: next"]
    assert Outbox(outbox, 10).waiting() == []


def test_the_outbox_keeps_the_newest_and_passes_over_broken_lines(outbox: Path) -> None:
    kept = Outbox(outbox, limit=3)
    for number in range(5):
        kept.keep({"text": str(number)})
    with outbox.open("a") as handle:
        handle.write('{"text": "half a li\n')
    assert [body["text"] for body in kept.waiting()] == ["2", "3", "4"]


def test_many_senders_lose_and_repeat_nothing(outbox: Path) -> None:
    senders, each = 4, 5
    with SlackReceiver([ScriptedAnswer(404, "no_service")] * 7) as slack:

        def work(sender: int) -> None:
            for number in range(each):
                Slack(slack.url, outbox, HASTY).send(message(f"{sender}-{number}"))

        threads = [threading.Thread(target=work, args=(sender,)) for sender in range(senders)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        Slack(slack.url, outbox, HASTY).send(message("last"))
    expected = {f"Run failed: {sender}-{number}" for sender in range(senders) for number in range(each)}
    assert sorted(body["text"] for body in slack.messages) == sorted(expected | {"Run failed: last"})


def test_an_outbox_that_cannot_be_written_raises_nothing(tmp_path: Path, closed_port: str) -> None:
    (tmp_path / "file").write_text("")
    result = Slack(closed_port, tmp_path / "file" / "outbox.jsonl", HASTY).send(message("daily"))
    assert not result.delivered


def test_the_address_is_shown_nowhere(
    closed_port: str, outbox: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    with SlackReceiver([ScriptedAnswer(500), ScriptedAnswer(404, "/services was not found")]) as slack:
        shown = []
        for url in (closed_port, slack.url, "ftp://host/services/T0/B0/secretsecret"):
            sender = Slack(url, outbox, HASTY)
            shown += [repr(sender), str(sender), sender.send(message("daily")).detail]
        secret = slack.url.rsplit("/", 1)[1]
    printed = capfd.readouterr()
    everything = "".join([*shown, caplog.text, printed.out, printed.err, outbox.read_text()])
    assert "secretsecret" not in everything
    assert secret not in everything


def drift() -> DriftResult:
    columns = (
        ColumnDrift("price <micros>", "wasserstein", 0.412, 0.1, 0.001, True),
        ColumnDrift("country", "jensenshannon", 0.02, 0.1, 1.0, False),
    )
    return DriftResult("drift", columns, (), 5_000, 1_200, 500)


MESSAGES = {
    "drift": drift_found(drift(), "model-7", "run-9", "http://127.0.0.1:3000/report"),
    "started": retrain_started(["2 of 9 columns drifted", "8 days old"], "model-7", "run-10"),
    "promoted": retrain_finished(
        is_promoted=True,
        challenger="model-8",
        champion="model-7",
        reasons=["NDCG@10 rose"],
        figures=[Figure("NDCG@10", 0.3712, 0.3601, 0.3823)],
        run_id="run-10",
    ),
    "refused": retrain_finished(
        is_promoted=False, challenger="model-8", champion=None, reasons=["too few users"], figures=[], run_id="run-10"
    ),
    "failed": run_failed("ring", "run-11", None, "x" * 100_000),
    "stopped": validation_stopped([f"expectation {n}" for n in range(40)], "run-12", "reports/index.html"),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_messages_fit_slack(name: str) -> None:
    """The limits of Block Kit: 50 blocks, 150 characters in a header, 3,000 in a text, none empty."""
    body = MESSAGES[name].body()
    assert json.loads(json.dumps(body)) == body
    assert body["text"]
    assert len(body["blocks"]) <= 50
    assert body["blocks"][0]["type"] == "header"
    assert len(body["blocks"][0]["text"]["text"]) <= 150
    texts = [block["text"] for block in body["blocks"][1:] if block["type"] == "section"]
    texts += [element for block in body["blocks"] if block["type"] == "context" for element in block["elements"]]
    assert texts
    assert all(0 < len(text["text"]) <= 3_000 for text in texts)


def test_a_drift_message_says_what_how_much_and_which_run() -> None:
    text = json.dumps(MESSAGES["drift"].body())
    for part in ("1 of 2 columns", "price &lt;micros&gt;", "0.412", "limit 0.100", "model-7", "run-9", "|report>"):
        assert part in text


def test_an_outcome_says_what_became_of_it_and_why() -> None:
    promoted, refused = json.dumps(MESSAGES["promoted"].body()), json.dumps(MESSAGES["refused"].body())
    for part in ("New champion promoted", "NDCG@10 rose", "0.3712 (0.3601 to 0.3823)", "model-8", "model-7"):
        assert part in promoted
    for part in ("Challenger refused", "too few users", "no champion before it"):
        assert part in refused


def test_nobody_can_ring_the_whole_channel() -> None:
    body = run_failed("ring", "run", "step", "<!channel> & <https://evil.example|click>").body()
    assert "<!channel>" not in json.dumps(body)
    assert "&lt;!channel&gt; &amp; &lt;https" in json.dumps(body)


def test_the_receiver_prints_what_it_receives(capsys: pytest.CaptureFixture[str]) -> None:
    with SlackReceiver(on_message=print_message) as slack:
        Slack(slack.url, config=HASTY).send(MESSAGES["drift"])
    shown = capsys.readouterr().err
    assert "Slack: Drift found: 1 of 2 columns" in shown
    assert "price <micros>: 0.412, limit 0.100" in shown
