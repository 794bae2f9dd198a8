"""The pure core: facts, states, retrieval, ranking and decisions. No framework lives here."""
