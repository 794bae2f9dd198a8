"""How a challenger comes into service (`release:` in nextbest.yml). Nothing is released here."""

from __future__ import annotations

from dataclasses import dataclass

from recommender.yaml_document import Document

__all__ = ["ReleaseSettings", "release_settings"]


@dataclass(frozen=True)
class ReleaseSettings:
    """`shadow_share` of the requests are scored by the challenger too, which nobody sees. Of the people,
    `canary_share` get a challenger that the gate let pass; 0 makes it champion for everybody at once."""

    shadow_share: float = 0.0
    canary_share: float = 0.0


_KEYS = tuple(ReleaseSettings.__dataclass_fields__)


def release_settings(document: Document, body: object) -> ReleaseSettings:
    """Read the section; ConfigurationError with file, line and key."""
    part, shipped = document.section("release", body or {}, _KEYS), ReleaseSettings()
    return ReleaseSettings(**{name: part.number(name, getattr(shipped, name), 0.0, 1.0) for name in _KEYS})
