"""python -m benchmarks.decisioning agents|coverage|mailings|regret [--times N] [--workers N] [--out FILE.json].

`agents`: what agents learn from one mailing, beside the mail that is best for all; `coverage`: how often off-policy
intervals hold the truth; `mailings`: fitted policies beside the best single action; `regret`: agents that learn as they
act, beside Vowpal Wabbit on the same streams. All logs are simulated.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.decisioning.agent_mailings import agent_mailings
from benchmarks.decisioning.coverage import coverage
from benchmarks.decisioning.mailings import mailings
from benchmarks.decisioning.regret import regret

# And how often each repeats.
RUNS = {
    "agents": (agent_mailings, 10),
    "coverage": (coverage, 500),
    "mailings": (mailings, 10),
    "regret": (regret, 20),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=tuple(RUNS))
    parser.add_argument("--times", type=int, help="logs, halves or seeds (default 10, 500, 10, 20)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    run, times = RUNS[options.what]
    run(options.times or times, options.workers, options.out)


if __name__ == "__main__":
    main()
