"""Labeled sets: many images of a plan, judged, resumable and in the formats that other tools load."""
