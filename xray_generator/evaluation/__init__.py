"""Looking at and measuring what the models make."""
