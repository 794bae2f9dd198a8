"""Assignment: for ever the same, repeatable in SQL, in the proportions asked for, independent between salts."""

from __future__ import annotations

import hashlib

import duckdb
import numpy as np
import pytest

from recommender.errors import InputError
from recommender.experiments.assignment import assign, uniforms

PEOPLE = [f"user-{number}" for number in range(20_000)]


def test_the_number_is_the_md5_that_any_warehouse_computes() -> None:
    digest = hashlib.md5(b"summer:user-7").hexdigest()
    assert uniforms("summer", ["user-7"])[0] == int(digest[:13], 16) / 16**13
    query = "select ('0x' || substr(md5('summer:' || ?), 1, 13))::bigint / 16::double ** 13"
    told = [duckdb.execute(query, [name]).fetchone() for name in PEOPLE[:50]]
    assert uniforms("summer", PEOPLE[:50]).tolist() == [row[0] for row in told if row]


def test_arms_have_their_shares_within_four_standard_errors() -> None:
    arms = assign("summer", PEOPLE, {"holdout": 0.1, "baseline": 0.2, "agent": 0.7})
    for place, share in enumerate((0.1, 0.2, 0.7)):
        error = np.sqrt(share * (1 - share) / len(PEOPLE))
        assert abs(float((arms == place).mean()) - share) < 4 * error


def test_an_arm_that_grows_keeps_its_people() -> None:
    small = assign("summer", PEOPLE, {"holdout": 0.1, "agent": 0.9}) == 0
    large = assign("summer", PEOPLE, {"holdout": 0.2, "agent": 0.8}) == 0
    assert (large[small]).all()


def test_two_salts_have_nothing_to_do_with_each_other() -> None:
    first, second = (uniforms(salt, PEOPLE) for salt in ("summer", "winter"))
    assert abs(np.corrcoef(first, second)[0, 1]) < 4 / np.sqrt(len(PEOPLE))


@pytest.mark.parametrize("shares", [{}, {"a": 0.5}, {"a": 1.2, "b": -0.2}])
def test_shares_that_are_no_proportions_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(InputError, match="sum up to 1"):
        assign("summer", PEOPLE, shares)
