"""Runs with a fault put in, and healthy ones, for the diagnosis to tell apart."""
