"""Thin faces over the same tools: terminal, web, MCP."""
