"""Training of the landmark detector on simulated scans alone; see `fit.train_landmarks`."""
