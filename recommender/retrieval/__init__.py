"""Candidate generators, one family a file. Each turns user states into scores over items; none ranks a final list."""
