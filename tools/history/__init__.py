"""What happened: frozen specs, events, the only SQL."""
