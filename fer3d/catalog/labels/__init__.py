"""Readers of the label files of data sets: one module per data set."""
