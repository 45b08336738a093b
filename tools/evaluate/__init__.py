"""Judges a tuned model against its base."""
