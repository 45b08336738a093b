"""Language models that choose and explain, and the guided one that needs none."""
