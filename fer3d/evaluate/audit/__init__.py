"""Faults in anybody's predictions: what is wrong with an accuracy, as far as the files tell."""
