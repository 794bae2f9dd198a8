"""Keys: kept hashed, known by role, withdrawn for good."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from recommender.errors import InputError, IntegrityError
from recommender.workspace import Workspace
from services.keys import Keyring, create_key, list_keys, presented_key, revoke_key


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


def test_bearer_and_segments_basic_are_understood() -> None:
    basic = base64.b64encode(b"nb_write_k:").decode()
    assert presented_key("Bearer nb_write_k") == presented_key(f"Basic {basic}") == "nb_write_k"
    assert [presented_key(text) for text in ("", "Bearer ", "Basic ?", "Digest x")] == [None] * 4


def test_a_broken_file_of_keys_is_refused(workspace: Workspace) -> None:
    workspace.keys.write_text("[]")
    with pytest.raises(IntegrityError, match="keys"):
        Keyring(workspace.keys)
