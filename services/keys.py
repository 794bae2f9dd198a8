"""Who may call the service: keys with a role, kept as hashes in the workspace's keys.json. No HTTP lives here.

A key is 256 random bits, so a plain SHA-256 is a safe way to keep it (a slow hash protects passwords,
which can be guessed), and so is looking a hash up: how long that takes tells about the hash, from which
nobody comes to a key. While the file has never held a key the service is open; once it has, it stays
closed: revoking the last key locks the door, it does not open it.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import hashlib
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson

from recommender.errors import InputError, IntegrityError
from recommender.workspace import Workspace, write_bytes_atomically

__all__ = [
    "PREFIX_LENGTH",
    "ROLES",
    "Key",
    "Keyring",
    "create_key",
    "list_keys",
    "parse_lifetime",
    "presented_key",
    "revoke_key",
    "rotate_key",
]

# write: track, identify, page, batch. read: recommend, decisions. admin: everything.
ROLES = ("write", "read", "admin")
PREFIX_LENGTH = 16
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


@dataclass(frozen=True)
class Key:
    """What is kept of a key; `prefix` is its readable beginning, by which people name it. Times are ISO 8601, UTC."""

    prefix: str
    role: str
    sha256: str
    created_at: str
    revoked_at: str | None = None
    expires_at: str | None = None

    def works(self, now: datetime) -> bool:
        """Whether it opens anything at this moment."""
        return self.revoked_at is None and (self.expires_at is None or now < datetime.fromisoformat(self.expires_at))


def parse_lifetime(text: str) -> timedelta:
    """`90d`, `24h`, `30m` or `45s` as a duration of at most ten years. Raises InputError."""
    found = re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", text)
    lifetime = timedelta(seconds=int(found[1]) * _SECONDS[found[2]]) if found else timedelta()
    if not timedelta() < lifetime <= timedelta(days=3_653):
        raise InputError(f"the duration {text!r:.40}.", "such as 90d, 24h or 30m, up to ten years.", "write one.")
    return lifetime


def create_key(
    workspace: Workspace, role: str, lifetime: timedelta | None = None, *, now: datetime | None = None
) -> str:
    """A new key; its text is returned here and kept nowhere. Without a `lifetime` it works until it is revoked."""
    if role not in ROLES:
        raise InputError(f"role {role!r}.", f"one of {', '.join(ROLES)}.", "name one of them with --role.")
    now = now or datetime.now(UTC)
    text, key = _new(role, now, lifetime)
    with _turn(workspace):
        _save(workspace, [*_read(workspace.keys), key])
    return text


def rotate_key(workspace: Workspace, prefix: str, grace: timedelta, *, now: datetime | None = None) -> str:
    """A new key of the same role and lifetime; the old one, named by its prefix, works for `grace` longer.

    Both work meanwhile, so callers change over without an interruption. Raises InputError (no such key).
    """
    now = now or datetime.now(UTC)
    with _turn(workspace):
        keys = _read(workspace.keys)
        old = _working(keys, prefix, now)
        born, ends = datetime.fromisoformat(old.created_at), old.expires_at and datetime.fromisoformat(old.expires_at)
        text, new = _new(old.role, now, ends - born if ends else None)
        last = min(now + grace, ends) if ends else now + grace
        ending = replace(old, expires_at=last.isoformat(timespec="seconds"))
        _save(workspace, [*(ending if key is old else key for key in keys), new])
    return text


def list_keys(workspace: Workspace) -> list[dict[str, str | None]]:
    """What people may see of all keys ever created, revoked ones included, oldest first."""
    return [{name: value for name, value in asdict(key).items() if name != "sha256"} for key in _read(workspace.keys)]


def revoke_key(workspace: Workspace, prefix: str, *, now: datetime | None = None) -> Key:
    """Revoke the key that begins with `prefix` (or was given whole); it stops working within a second."""
    now = now or datetime.now(UTC)
    with _turn(workspace):
        keys = _read(workspace.keys)
        found = _working(keys, prefix, now)
        revoked = replace(found, revoked_at=now.isoformat(timespec="seconds"))
        _save(workspace, [revoked if key is found else key for key in keys])
    return revoked


def presented_key(authorization: str) -> str | None:
    """The key inside an Authorization header: `Bearer KEY`, or Segment's Basic with the key as user name."""
    scheme, _, value = authorization.strip().partition(" ")
    if scheme.lower() == "bearer":
        return value.strip() or None
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[0] or None
        except (binascii.Error, ValueError):
            return None
    return None


class Keyring:
    """The keys as the running service sees them; the file is read again whenever it changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._known: dict[str, tuple[str, float]] = {}  # by hash: role, and when it ends (seconds since 1970)
        self._is_open = True
        self.refresh()

    @property
    def is_open(self) -> bool:
        """Whether no key was ever created, so that everybody may call."""
        return self._is_open

    def role_of(self, key: str) -> str | None:
        """The role of a working key; None for an unknown, an expired or a revoked one."""
        role, ends = self._known.get(_digest(key), (None, 0.0))
        return role if time.time() < ends else None

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
        self._known = {key.sha256: (key.role, _end(key)) for key in keys if key.revoked_at is None}
        self._is_open = not keys
        self._seen = seen


def _new(role: str, now: datetime, lifetime: timedelta | None) -> tuple[str, Key]:
    text = f"nb_{role}_{secrets.token_urlsafe(32)}"
    expires_at = (now + lifetime).isoformat(timespec="seconds") if lifetime else None
    created_at = now.isoformat(timespec="seconds")
    return text, Key(text[:PREFIX_LENGTH], role, _digest(text), created_at, expires_at=expires_at)


def _working(keys: Sequence[Key], prefix: str, now: datetime) -> Key:
    matching = [key for key in keys if key.works(now) and key.prefix == prefix[:PREFIX_LENGTH]]
    if len(matching) != 1:
        raise InputError(
            f"{len(matching)} working keys with the prefix {prefix[:PREFIX_LENGTH]!r}.",
            f"one; a prefix has {PREFIX_LENGTH} characters.",
            "take it from `nextbest keys list`, or give the key whole.",
        )
    return matching[0]


def _end(key: Key) -> float:
    return datetime.fromisoformat(key.expires_at).timestamp() if key.expires_at else float("inf")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


@contextmanager
def _turn(workspace: Workspace) -> Iterator[None]:
    """Two commands at once would read the same file, and the later one's copy would drop the earlier one's key."""
    path = workspace.keys.with_suffix(".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read(path: Path) -> list[Key]:
    if not path.exists():
        return []
    try:
        keys = [Key(**entry) for entry in orjson.loads(path.read_bytes())["keys"]]
        for key in keys:
            _end(key)
        return keys
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        raise IntegrityError(
            f"{path} cannot be read as keys.",
            "the file as `nextbest keys` wrote it.",
            "restore it; where it is lost, move it away and create keys before you serve: without any it is open.",
        ) from None


def _save(workspace: Workspace, keys: list[Key]) -> None:
    body = orjson.dumps({"keys": [asdict(key) for key in keys]}, option=orjson.OPT_INDENT_2)
    write_bytes_atomically(workspace.keys, body)
    workspace.keys.chmod(0o600)
