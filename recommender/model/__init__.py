"""Learning: training sets, the assembler, the ranker, its evidence and the bundle. No decision is taken here."""
