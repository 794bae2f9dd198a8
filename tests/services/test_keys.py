"""Keys: kept hashed, known by role, ending in time, followed by others, withdrawn for good."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recommender.errors import InputError, IntegrityError
from recommender.workspace import Workspace
from services.keys import Keyring, create_key, list_keys, parse_lifetime, presented_key, revoke_key, rotate_key

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def test_a_key_is_stored_as_a_hash_only(workspace: Workspace) -> None:
    key = create_key(workspace, "write")
    assert key not in workspace.keys.read_text()
    assert workspace.keys.stat().st_mode & 0o077 == 0
    (kept,) = list_keys(workspace)
    assert (kept["role"], kept["prefix"], kept["revoked_at"]) == ("write", key[:16], None)


def test_a_running_service_sees_new_and_withdrawn_keys(workspace: Workspace) -> None:
    ring = Keyring(workspace.keys)
    assert ring.is_open
    key = create_key(workspace, "read")
    ring.refresh()
    assert (ring.is_open, ring.role_of(key), ring.role_of(key + "x")) == (False, "read", None)
    revoke_key(workspace, key[:16])
    ring.refresh()
    assert ring.role_of(key) is None


def test_a_file_that_breaks_under_a_running_service_changes_nothing(workspace: Workspace) -> None:
    key = create_key(workspace, "read")
    ring = Keyring(workspace.keys)
    workspace.keys.write_text("{")
    with pytest.raises(IntegrityError):
        ring.refresh()
    workspace.keys.unlink()
    ring.refresh()
    assert (ring.role_of(key), ring.is_open) == ("read", False)


def test_revoking_the_last_key_locks_the_door(workspace: Workspace) -> None:
    revoke_key(workspace, create_key(workspace, "admin"))
    assert not Keyring(workspace.keys).is_open


def test_a_revoked_or_unknown_prefix_cannot_be_revoked(workspace: Workspace) -> None:
    key = create_key(workspace, "read")
    revoke_key(workspace, key)
    with pytest.raises(InputError, match="0 working keys"):
        revoke_key(workspace, key)
    with pytest.raises(InputError, match="role"):
        create_key(workspace, "owner")


def test_a_key_works_until_it_expires(workspace: Workspace) -> None:
    over = create_key(workspace, "read", DAY, now=NOW - 2 * DAY)
    alive = create_key(workspace, "read", DAY, now=NOW - DAY / 2)
    ring = Keyring(workspace.keys)
    assert (ring.role_of(over), ring.role_of(alive), ring.is_open) == (None, "read", False)
    assert [key["expires_at"] for key in list_keys(workspace)] == [
        (NOW - 2 * DAY + DAY).isoformat(timespec="seconds"),
        (NOW - DAY / 2 + DAY).isoformat(timespec="seconds"),
    ]


def test_a_rotated_key_and_the_one_that_follows_it_work_together_for_the_grace(workspace: Workspace) -> None:
    old = create_key(workspace, "write", 90 * DAY, now=NOW - 80 * DAY)
    new = rotate_key(workspace, old[:16], DAY, now=NOW)
    ring = Keyring(workspace.keys)
    assert (ring.role_of(old), ring.role_of(new)) == ("write", "write")
    kept = {key["prefix"]: key["expires_at"] for key in list_keys(workspace)}
    assert kept[old[:16]] == (NOW + DAY).isoformat(timespec="seconds")
    born, lifetime = NOW.replace(microsecond=0), 90 * DAY
    assert kept[new[:16]] == (born + lifetime).isoformat(timespec="seconds")


def test_no_grace_outlives_the_key_itself(workspace: Workspace) -> None:
    old = create_key(workspace, "read", 2 * DAY, now=NOW - DAY)
    rotate_key(workspace, old, 30 * DAY, now=NOW)
    assert list_keys(workspace)[0]["expires_at"] == (NOW + DAY).isoformat(timespec="seconds")
    with pytest.raises(InputError, match="0 working keys"):
        rotate_key(workspace, "nb_read_unknown_", DAY, now=NOW)


def test_commands_at_the_same_moment_lose_no_key(workspace: Workspace) -> None:
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: create_key(workspace, "read"), range(24)))
    ring = Keyring(workspace.keys)
    assert {ring.role_of(key) for key in made} == {"read"}


@pytest.mark.parametrize(
    ("text", "seconds"), [("45s", 45), ("30m", 30 * 60), ("24h", 24 * 3_600), ("90d", 90 * 86_400)]
)
def test_a_lifetime_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert parse_lifetime(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "0d", "-1d", "90", "d", "9e9d", "99999999d", "1w", "٣d"])
def test_any_other_lifetime_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="duration"):
        parse_lifetime(text)


def test_bearer_and_segments_basic_are_understood() -> None:
    basic = base64.b64encode(b"nb_write_k:").decode()
    assert presented_key("Bearer nb_write_k") == presented_key(f"Basic {basic}") == "nb_write_k"
    assert [presented_key(text) for text in ("", "Bearer ", "Basic ?", "Digest x")] == [None] * 4


def test_a_broken_file_of_keys_is_refused(workspace: Workspace) -> None:
    for text in ("[]", '{"keys": [{"expires_at": "soon"}]}', "{"):
        workspace.keys.write_text(text)
        with pytest.raises(IntegrityError, match="keys"):
            Keyring(workspace.keys)
