"""The eye: validation, drift, live performance and alerts. It watches and tells; it changes nothing."""
