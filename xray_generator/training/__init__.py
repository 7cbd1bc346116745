"""The one training loop, and what a run optimizes."""
