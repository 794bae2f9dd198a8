"""`make bench`: every benchmark in turn; those that need data which are not here say so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
RANKING = {
    "online_retail": "online_retail",
    "complete_journey": "complete_journey",
    "complete_journey_categories": "complete_journey",
}  # data set → its folder


def main() -> int:
    commands = [["benchmarks.drift_calibration"], ["benchmarks.shapes"]]
    for dataset, folder in RANKING.items():
        if (SHARED / folder).is_dir():
            commands.append(["benchmarks.ranking", "--dataset", dataset, "--path", str(SHARED / folder)])
        else:
            print(f"benchmarks.ranking --dataset {dataset} is left out: no {folder} on this machine", file=sys.stderr)
    codes = [subprocess.run([sys.executable, "-m", *command], check=False).returncode for command in commands]
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
