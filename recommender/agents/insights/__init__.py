"""What an agent's own records show: what works for whom, when people respond, when they tire. Nothing is decided."""
