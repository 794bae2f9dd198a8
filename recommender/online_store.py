"""Where users' states are served from: a file of the workspace or a Redis, as one address. Nothing is opened here.

The operator writes one value, `online_store` in nextbest.yml: `sqlite` (the default) or
`redis://[user[:password]@]host[:port][/database]`, `rediss://` with encryption. A password may stay out of the file:
`redis://:${REDIS_PASSWORD}@cache.internal:6379/0` takes it from the environment when the store is opened.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from recommender.errors import NotReadyError
from recommender.workspace import Workspace
from recommender.yaml_document import Document

__all__ = ["FILLED_ID", "OnlineStore", "feature_environment"]

# Nobody's id. Its row is written after everybody's: a store without it was never filled, or has lost its memory (a
# Redis that was started again without persistence), and a person who is not there is not unknown.
FILLED_ID = ""

_EXPECTED = "`sqlite`, or an address such as redis://127.0.0.1:6379/0"
_VARIABLE = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True)
class OnlineStore:
    """`kind`: "sqlite" (then nothing else counts) or "redis". The password is in no text that this class makes."""

    kind: str = "sqlite"
    host: str = ""
    port: int = 6379
    database: int = 0
    username: str = ""
    password: str = field(default="", repr=False)  # or the variable that holds it: ${NAME}
    is_encrypted: bool = False

    @property
    def words(self) -> str:
        """The store for people, logs and ledgers: without user and password."""
        if self.kind == "sqlite":
            return "sqlite"
        return f"redis{'s' if self.is_encrypted else ''}://{self.host}:{self.port}/{self.database}"

    @classmethod
    def parse(cls, text: object) -> OnlineStore:
        """Read the operator's value. ValueError with what was found, which never quotes the value itself."""
        if text == "sqlite":
            return cls()
        if not isinstance(text, str):
            raise ValueError(f"a value of type {type(text).__name__}")
        scheme, separator, _ = text.partition("://")
        if not separator or scheme not in ("redis", "rediss"):
            raise ValueError("an address of another kind")
        try:
            parts = urlsplit(text)
            host, port = parts.hostname or "", 6379 if parts.port is None else parts.port
        except ValueError:
            raise ValueError("an address whose host or port cannot be read") from None
        if not host or ":" in host or "," in host:  # Feast splits hosts at both
            raise ValueError("an address without a host name or an IPv4 address")
        number = parts.path.strip("/") or "0"
        if not re.fullmatch(r"\d{1,4}", number) or parts.query or parts.fragment:
            raise ValueError("an address that ends in something else than the number of a database")
        words = unquote(parts.username or ""), unquote(parts.password or "")
        return cls("redis", host, port, int(number), *words, is_encrypted=scheme == "rediss")

    @classmethod
    def read(cls, document: Document, path: str, value: object) -> OnlineStore:
        """`parse` for the operator's file. Raises ConfigurationError with the line."""
        try:
            return cls.parse(value)
        except ValueError as problem:
            raise document.error(path, str(problem), _EXPECTED, "Correct the address.") from None

    def feast(self, workspace: Workspace, **parameters: Any) -> dict[str, Any]:
        """What stands under `online_store` in Feast's yaml. `parameters` go to the client of a Redis.

        Raises NotReadyError where the password's variable is not set.
        """
        if self.kind == "sqlite":
            return {"type": "sqlite", "path": str(workspace.online_store.absolute())}
        given = {"db": self.database, "username": self.username, "password": self._secret(), "ssl": self.is_encrypted}
        # redis-py would try three more times, with pauses that no deadline of ours knows: 8 s to tell of a dead server.
        given = {**given, "retry": None, **parameters}
        told = {name: value for name, value in given.items() if value not in ("", False)}
        # Feast cuts its text at commas and reads each value as JSON, where an escaped comma is none.
        words = [f"{name}={json.dumps(value)}".replace(",", "\\u002c") for name, value in told.items()]
        address = ",".join([f"{self.host}:{self.port}", *words])
        # Feast itself would skip a row of the same moment: a state corrected at the same cut, or a rewind. What is
        # older is refused by the ledger of `feature_repo.online`, for all stores alike.
        return {"type": "redis", "connection_string": address, "skip_dedup": True}

    def _secret(self) -> str:
        def held(match: re.Match[str]) -> str:
            value = os.environ.get(match[1])
            if value is None:
                raise NotReadyError(
                    f"no variable {match[1]} in the environment.",
                    f"the password of the online store {self.words} in it.",
                    "set the variable, or write the password into online_store in nextbest.yml.",
                )
            return value

        return _VARIABLE.sub(held, self.password)


@contextmanager
def feature_environment(workspace: Workspace, store: OnlineStore, **parameters: Any) -> Iterator[None]:
    """Inside, the variables that `feature_repo/feature_store.yaml` substitutes; they may hold a password.

    Feast reads them once, while it opens a store; afterwards they are gone, and no child process inherits them.
    """
    names = {
        "NEXTBEST_FEATURE_REGISTRY": str(workspace.feature_registry.absolute()),
        "NEXTBEST_ONLINE_STORE": json.dumps(store.feast(workspace, **parameters)),
    }
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
