"""Simulated scans with exact truth, so that the rest of the package can be shown and tested without licensed data.

`face` holds the face model (`procedural_*`: our own, made by code; `ict`: a measured one from a file), `expression` the
recipes of the six prototypes, `appearance` the texture, `camera` the range camera, `layouts` the writers of data set
trees, `truth` what is written beside them. Results on simulated faces should always be called that.
"""

from fer3d.synth.population import Made, make

__all__ = ["Made", "make"]
