"""What the pages compute with a loaded checkpoint, as jobs: verbs on an engine, beyond those of `generation`."""
