"""Reads, recognises, measures and prepares data."""
