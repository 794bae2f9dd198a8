"""The door: the BentoML service, the event collector and online features. Nothing is learned here."""
