"""What runs: consent, launching, reconciling, and the history of jobs."""
