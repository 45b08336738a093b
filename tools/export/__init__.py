"""Turns a tuned model into files that run elsewhere, and proves they say the same."""
