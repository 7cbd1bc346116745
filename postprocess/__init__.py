"""Image enhancement: six operations, named presets, and measures of the information that they cost."""
