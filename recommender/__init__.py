"""The pure core: facts, states, retrieval, ranking and decisions. No framework lives here."""

import os

# OpenMP's threads spin while they wait. Beside one other busy process on two cores the ranker then took 36.6 s to
# fit instead of 3.5 s. Read when the first OpenMP library is loaded, so it is set before any import of one.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
