"""Expressions as action units, differences between people, and time courses of sequences."""
