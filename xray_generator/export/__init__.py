"""Images as files that say what made them."""
