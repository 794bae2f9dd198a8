"""What the statistics of experiments promise, tried on thousands of simulated experiments."""
