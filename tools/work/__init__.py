"""The only rooms that import torch. Each starts as its own process; nobody imports them."""
