"""Mutated files through the public readers (`run.py`); random valid files through two (`differential.py`)."""
