"""The HTTP API: the studio and its queue for programs, on the same checkpoints and galleries as the pages."""
