"""A shop with known tastes: demo, tests and ground truth. Nothing here is ever imported by the model or the decisions.

`shop` holds the truth, `world` draws it, `behaviour` turns it into visits and responses, `history`
runs a past policy over it, `tables` writes canonical tables, `words` are the words of the catalogue.
"""

from __future__ import annotations

from recommender.simulation.behaviour import Response, Visit
from recommender.simulation.history import Simulation, simulate
from recommender.simulation.shop import Shop
from recommender.simulation.tables import write_tables
from recommender.simulation.world import SimulationConfig

__all__ = ["Response", "Shop", "Simulation", "SimulationConfig", "Visit", "simulate", "write_tables"]
