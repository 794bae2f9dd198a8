"""The `service` section of nextbest.yml: every limit by name, checked, with the line of what is wrong."""

from __future__ import annotations

import json
from dataclasses import asdict, fields

import pytest

from recommender.configuration import parse_configuration
from recommender.door_settings import DoorSettings
from recommender.errors import ConfigurationError


def test_without_a_section_what_is_shipped_holds():
    assert parse_configuration(b"").service == DoorSettings()
    assert not any((DoorSettings().open_reads, DoorSettings().open_metrics, DoorSettings().open_docs))


def test_every_setting_can_be_written():
    """Written as a flag turned, as a number half as large again, or as two pages."""
    pages = ("https://shop.example", "http://127.0.0.1:8000")
    wanted = {
        name: pages if value == () else not value if isinstance(value, bool) else type(value)(value * 1.5)
        for name, value in asdict(DoorSettings()).items()
    }
    service = parse_configuration(json.dumps({"service": wanted}).encode()).service  # JSON is YAML
    assert asdict(service) == wanted
    assert all(wanted[field.name] != field.default for field in fields(DoorSettings))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("service:\n  open_read: true", "line 2, key service.open_read.*Did you mean open_reads"),
        ("service:\n  open_reads: maybe", "line 2, key service.open_reads.*true or false"),
        ("service:\n  burst: 0", "line 2, key service.burst.*from 1 to"),
        ("service:\n  most_in_flight: 2.5", "whole number"),
        ("service:\n  body_bytes_in_flight: 1000", "16777216"),
        ("service: [1]", "key service"),
        ("service:\n  browser_origins: ['*']", r"key service.browser_origins\[0\].*a page's origin"),
        ("service:\n  browser_origins: [https://shop.example/]", "Leave the path out"),
        ("service:\n  browser_origins: https://shop.example", "a list"),
    ],
)
def test_what_cannot_hold_is_told_with_its_line(text: str, told: str):
    with pytest.raises(ConfigurationError, match=told):
        parse_configuration(text.encode())
