"""Who is in which arm of an experiment, and what may be read from it."""
