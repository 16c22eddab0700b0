"""Labels that data sets keep in files of their own: one data set, one file."""
