"""Who may call the service: keys with a role, kept as hashes in the workspace's keys.json. No HTTP lives here.

A key is 256 random bits, so a plain SHA-256 is a safe way to keep it (a slow hash protects passwords,
which can be guessed). While the file has never held a key the service is open; once it has, it stays
closed: revoking the last key locks the door, it does not open it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import orjson

from recommender.errors import InputError, IntegrityError
from recommender.workspace import Workspace, write_bytes_atomically

__all__ = ["ROLES", "Key", "Keyring", "create_key", "list_keys", "presented_key", "revoke_key"]

# write: track, identify, page, batch. read: recommend, decisions. admin: everything.
ROLES = ("write", "read", "admin")
_PREFIX_LENGTH = 16


@dataclass(frozen=True)
class Key:
    """What is kept of a key; `prefix` is its readable beginning, by which people name it."""

    prefix: str
    role: str
    sha256: str
    created_at: str
    revoked_at: str | None = None


def create_key(workspace: Workspace, role: str) -> str:
    """A new key; its text is returned here and kept nowhere."""
    if role not in ROLES:
        raise InputError(f"role {role!r}.", f"one of {', '.join(ROLES)}.", "name one of them with --role.")
    text = f"nb_{role}_{secrets.token_urlsafe(32)}"
    key = Key(text[:_PREFIX_LENGTH], role, _digest(text), datetime.now(UTC).isoformat(timespec="seconds"))
    _save(workspace, [*_read(workspace.keys), key])
    return text


def list_keys(workspace: Workspace) -> list[dict[str, str | None]]:
    """What people may see of all keys ever created, revoked ones included, oldest first."""
    return [
        {"prefix": key.prefix, "role": key.role, "created_at": key.created_at, "revoked_at": key.revoked_at}
        for key in _read(workspace.keys)
    ]


def revoke_key(workspace: Workspace, prefix: str) -> Key:
    """Revoke the key that begins with `prefix` (or was given whole); it stops working within a second."""
    keys = _read(workspace.keys)
    matching = [key for key in keys if key.revoked_at is None and key.prefix == prefix[:_PREFIX_LENGTH]]
    if len(matching) != 1:
        raise InputError(
            f"{len(matching)} working keys that begin with {prefix[:_PREFIX_LENGTH]!r}.",
            "exactly one.",
            "take the prefix from `nextbest keys list`.",
        )
    revoked = replace(matching[0], revoked_at=datetime.now(UTC).isoformat(timespec="seconds"))
    _save(workspace, [revoked if key is matching[0] else key for key in keys])
    return revoked


def presented_key(authorization: str) -> str | None:
    """The key inside an Authorization header: `Bearer KEY`, or Segment's Basic with the key as user name."""
    scheme, _, value = authorization.strip().partition(" ")
    if scheme.lower() == "bearer":
        return value.strip() or None
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[0] or None
        except (binascii.Error, UnicodeDecodeError):
            return None
    return None


class Keyring:
    """The keys as the running service sees them; the file is read again whenever it changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._roles: dict[str, str] = {}
        self._is_open = True
        self.refresh()

    @property
    def is_open(self) -> bool:
        """Whether no key was ever created, so that everybody may call."""
        return self._is_open

    def role_of(self, key: str) -> str | None:
        """The role of a working key; None for an unknown or revoked one."""
        return self._roles.get(_digest(key))

    def refresh(self) -> None:
        """Look at the file's time and size, and read it if they changed."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return  # never created; or deleted under a running service, which then keeps what it knows
        seen = (status.st_mtime_ns, status.st_ino)
        if seen == self._seen:
            return
        keys = _read(self._path)
        self._roles = {key.sha256: key.role for key in keys if key.revoked_at is None}
        self._is_open = not keys
        self._seen = seen


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _read(path: Path) -> list[Key]:
    if not path.exists():
        return []
    try:
        return [Key(**entry) for entry in orjson.loads(path.read_bytes())["keys"]]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise IntegrityError(
            f"{path} cannot be read as keys.", "the file as `nextbest keys` wrote it.", "restore it, or delete it."
        ) from None


def _save(workspace: Workspace, keys: list[Key]) -> None:
    body = orjson.dumps({"keys": [asdict(key) for key in keys]}, option=orjson.OPT_INDENT_2)
    write_bytes_atomically(workspace.keys, body)
    workspace.keys.chmod(0o600)
