"""A receiver on loopback that speaks Slack's webhook protocol, for the demo and the tests; it reaches no Slack."""

from __future__ import annotations

import json
import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

__all__ = ["ScriptedAnswer", "SlackReceiver", "print_message"]

_BODY_LIMIT = 1_000_000


@dataclass(frozen=True)
class ScriptedAnswer:
    """What the receiver answers instead of 200 "ok": a rate limit (429 with Retry-After), an error, a refusal."""

    status: int
    text: str = ""
    headers: dict[str, str] = field(default_factory=dict)


class SlackReceiver:
    """Starts on entering, ends on leaving. `messages` holds the bodies that it accepted, `attempts` counts all calls.

    `answers` are given once each, in order, before it starts to accept. `on_message` is called for every
    accepted body on the server's thread (the demo prints it).
    """

    def __init__(
        self,
        answers: Iterable[ScriptedAnswer] = (),
        on_message: Callable[[dict[str, Any]], None] | None = None,
        port: int = 0,
    ) -> None:
        self.messages: list[dict[str, Any]] = []
        self.attempts = 0
        self._answers = deque(answers)
        self._on_message = on_message
        self._lock = threading.Lock()
        self._path = f"/services/T{secrets.token_hex(4)}/B{secrets.token_hex(4)}/{secrets.token_hex(12)}"
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        # Looking for the end 20 times a second: the default of twice made every stop take half a second.
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="slack", daemon=True)

    @property
    def url(self) -> str:
        """The webhook's address, of Slack's shape: its last part is the secret."""
        return f"http://127.0.0.1:{self._server.server_port}{self._path}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Answer nobody any more and free the port. Without effect on one that never started."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def __enter__(self) -> SlackReceiver:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def receive(self, path: str, raw: bytes) -> ScriptedAnswer:
        """Slack's answers: 404 for an unknown hook, 400 for what is no message, 200 "ok" otherwise."""
        with self._lock:
            self.attempts += 1
            if self._answers:
                return self._answers.popleft()
        if path != self._path:
            return ScriptedAnswer(404, "no_service")
        try:
            body = json.loads(raw)
        except ValueError:
            return ScriptedAnswer(400, "invalid_payload")
        if not isinstance(body, dict) or not (body.get("text") or body.get("blocks")):
            return ScriptedAnswer(400, "no_text")
        with self._lock:
            self.messages.append(body)
        if self._on_message:
            self._on_message(body)
        return ScriptedAnswer(200, "ok")

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = min(int(self.headers.get("Content-Length", 0)), _BODY_LIMIT)
                answer = receiver.receive(self.path, self.rfile.read(length))
                text = answer.text.encode()
                self.send_response(answer.status)
                for name, value in {**answer.headers, "Content-Length": str(len(text))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: object) -> None:
                """Silent: the standard log would show the webhook's secret path."""

        return Handler


def print_message(body: dict[str, Any]) -> None:
    """Show a message in the terminal as Slack would: title, sections, small print."""
    from rich.console import Console, Group
    from rich.panel import Panel
    from rich.text import Text

    parts: list[Text] = []
    for block in body.get("blocks", []):
        if block["type"] == "section":
            parts.append(Text(_readable(block["text"]["text"])))
        elif block["type"] == "context":
            facts = " · ".join(_readable(element["text"]) for element in block["elements"])
            parts.append(Text(facts, style="dim"))
    title = f"Slack: {body.get('text', '')}"
    Console(stderr=True).print(Panel(Group(*parts), title=title, title_align="left", border_style="magenta"))


def _readable(markup: str) -> str:
    """Slack's markup without its marks."""
    plain = markup.replace("`", "").replace("*", "")
    return plain.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
