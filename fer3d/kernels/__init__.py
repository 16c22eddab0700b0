"""Numba kernels: arrays in, arrays out. They check nothing: a public function stands in front of each.

All are serial (a worker process has one core; parallelism is over scans), release the GIL and are cached on disk.
"""
