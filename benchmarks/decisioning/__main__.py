"""python -m benchmarks.decisioning coverage [--simulations 500] [--out FILE.json]: off-policy intervals.

`mailings`: fitted policies beside the best single action; `regret`: agents beside Vowpal Wabbit on simulated streams.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("coverage",))
    parser.add_argument("--simulations", type=int, default=500)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    from benchmarks.decisioning.coverage import coverage

    coverage(options.simulations, options.workers, options.out)


if __name__ == "__main__":
    main()
