"""How good are generated images: measures of realism, fidelity, memorization and utility, and their records."""
