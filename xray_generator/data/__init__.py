"""Readers of chest X-ray collections, all under one row contract (`rows.Row`)."""
