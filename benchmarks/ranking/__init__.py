"""Ranked lists beside the best libraries and published methods: one protocol, one table. No list is made here."""
