"""Image enhancement after generation: six operations, named presets and what each application costs the data."""
