"""Appearance of a face: skin, features, wrinkles, occluders."""
