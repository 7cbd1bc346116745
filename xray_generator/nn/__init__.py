"""Networks that diffusers and transformers lack."""
