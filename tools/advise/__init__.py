"""Recommends a method and knows the cost before spending."""
