"""`make bench`: every benchmark in turn; those that need data which are not here say so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "online_retail"


def main() -> int:
    commands = [["benchmarks.drift_calibration"]]
    if REAL_DATA.is_dir():
        commands.append(["benchmarks.ranking", "--path", str(REAL_DATA)])
    else:
        print("benchmarks.ranking is left out: online_retail is not on this machine", file=sys.stderr)
    codes = [subprocess.run([sys.executable, "-m", *command], check=False).returncode for command in commands]
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
