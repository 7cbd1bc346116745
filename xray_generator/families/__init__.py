"""One folder a model family; see README.md."""
