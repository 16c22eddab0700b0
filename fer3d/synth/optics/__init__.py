"""Scanners and cameras: the scene, lamps, the range sensor, photographs, visibility."""
