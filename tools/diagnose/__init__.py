"""Names what went wrong in a run, from its evidence, and how to cure it."""
