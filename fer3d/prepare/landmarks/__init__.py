"""Landmarks on a bare scan: where the face is, which way is up, its unit, and its points; see `find.find_landmarks`."""
