"""Pictures of faces, with or without scans: detection, alignment, illumination normalisation and networks."""
