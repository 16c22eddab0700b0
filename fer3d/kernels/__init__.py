"""Numba kernels on arrays. They check no arguments: the public function that calls a kernel does.

All kernels are serial (a worker process has one core; parallelism is over scans), release the GIL and are cached on
disk.
"""
