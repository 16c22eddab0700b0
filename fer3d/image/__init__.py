"""Pictures of faces, with scans or without: find, align, normalise, recognise."""
