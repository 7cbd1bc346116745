"""The code that a checkpoint takes along for diffusers, copied by `xray-studio export-hub`; nothing here imports it."""
