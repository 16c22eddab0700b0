"""The commands of `fer3d`: `app` and `training` parse the command line, `show_*` print the results."""
