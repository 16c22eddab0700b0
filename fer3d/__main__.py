"""`python -m fer3d`: the same as `fer3d`, for launchers such as `torchrun -m fer3d train ...`."""

from fer3d.cli.app import main

if __name__ == "__main__":
    main()
