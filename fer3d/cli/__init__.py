"""The commands of `fer3d`: `app` and `training` parse, `show_*` print."""
