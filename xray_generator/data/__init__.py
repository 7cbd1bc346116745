"""Readers of image collections, which all return rows (`rows.Row`)."""
