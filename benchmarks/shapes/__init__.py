"""Table sets of very different shape, and the platform beside popularity on each of them."""
