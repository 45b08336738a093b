"""Turns a conversation into tool calls: brains, consent, memory."""
