"""What a released bundle must do once, in a process of its own, before a worker loads it. Nothing is kept here.

Loading is where a bad bundle does harm that no exception tells: a corrupt UBJ ended the process in 27 of 120 trials,
an archive of a few kilobytes can unpack to more than the machine has, and a ranker of other columns reads beside
its rows. `services.verdicts` starts this module and keeps what it finds.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq

from recommender.errors import IntegrityError, NextbestError
from recommender.model.bundle import GOLDEN_USERS, Bundle, load_bundle
from recommender.model.manifest import broken_bundle
from recommender.states import Contexts, UserStates

__all__ = ["main", "try_out"]


def try_out(folder: Path, score_seconds: float) -> dict[str, float]:
    """Load a bundle and score its golden people one by one; what was found, IntegrityError where it must not serve.

    `score_seconds`: the processor time that one person's scores may take (median). Found are `low` and `high`, the
    range of the golden scores, and `score_seconds`, `load_seconds`, `resident_mb` as measured.
    """
    started = time.perf_counter()
    bundle = load_bundle(folder)
    loaded = time.perf_counter()
    _require_shape(bundle, folder)
    scores, seconds = _golden_scores(bundle, folder)
    values = np.concatenate(scores)
    if not np.isfinite(values).all():
        raise broken_bundle(folder, f"{np.count_nonzero(~np.isfinite(values))} golden scores that are no number")
    if not any(np.ptp(one) > 0 for one in scores):
        raise broken_bundle(folder, "golden scores that are the same for every item")
    if seconds > score_seconds:
        raise broken_bundle(folder, f"{seconds:.2f} s a person to score, where {score_seconds:.2g} s are allowed")
    return {
        "low": float(values.min()),
        "high": float(values.max()),
        "score_seconds": round(seconds, 5),
        "load_seconds": round(loaded - started, 3),
        "resident_mb": psutil.Process().memory_info().rss >> 20,
    }


def main(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Try the bundle in `folder` within `memory_bytes`; the verdict's fields as plain values."""
    # Private memory alone, so that mapped libraries and reserved addresses do not count.
    resource.setrlimit(resource.RLIMIT_DATA, (int(arguments["memory_bytes"]),) * 2)
    try:
        facts = try_out(Path(arguments["folder"]), float(arguments["score_seconds"]))
    except NextbestError as problem:
        return {"is_sound": False, "reason": problem.found}
    except MemoryError:
        return {"is_sound": False, "reason": f"it needs more than {int(arguments['memory_bytes']) >> 20:,} MB."}
    except Exception as problem:
        told = str(problem).strip().splitlines()
        return {"is_sound": False, "reason": f"{type(problem).__name__} while it was tried: {told[0] if told else ''}"}
    return {"is_sound": True, "facts": facts}


def _require_shape(bundle: Bundle, folder: Path) -> None:
    wanted, held = len(bundle.ranker.names), bundle.ranker.booster.num_features()
    if wanted != held:
        raise broken_bundle(folder, f"a ranker of {held} columns, its manifest names {wanted}")
    if not (bundle.items.integers("is_available") > 0).any():
        raise broken_bundle(folder, "no item that is available")
    if bundle.feature_version != bundle.manifest.feature_version:
        raise IntegrityError("features of another version than the manifest names.", "the same.", "build it again.")


def _golden_scores(bundle: Bundle, folder: Path) -> tuple[list[np.ndarray[Any, np.dtype[np.float32]]], float]:
    """The scores of each golden person, and the median of the processor time they took, the quicker of two turns."""
    golden = UserStates.from_table(pq.read_table(folder / GOLDEN_USERS))
    at_ms = bundle.manifest.as_of_ms
    scores, seconds = [], []
    for place in range(len(golden)):
        turns = []
        for _ in range(2):  # the first one fills what is made once
            started = time.process_time()
            found = bundle.score(golden.slice(place, 1), Contexts.at(at_ms, 1))
            turns.append(time.process_time() - started)
        seconds.append(min(turns))
        scores.append(found.scores)
    if not sum(map(len, scores)):
        raise broken_bundle(folder, "no golden scores")
    return scores, float(np.median(seconds))


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
