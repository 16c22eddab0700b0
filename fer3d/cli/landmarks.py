"""The commands `landmarks`, of scans, and `train landmarks`, of the networks behind it.

`fer3d.cli.app` registers them. A module that is slow to import is imported inside the command that needs it.
"""

from pathlib import Path
from typing import Annotated

import typer

from fer3d.cli.conditions import check_used
from fer3d.cli.training import SOME_FAILED


def landmarks(
    context: typer.Context,
    scans: Annotated[
        list[str],
        typer.Argument(help="Raw scans: files, folders, or quoted patterns.", show_default=False),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            help="For one scan: the file to write, whose suffix is the format. [default: none, the points are "
            "printed] For several: the folder, which mirrors that of the scans. [default: landmarks]",
        ),
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="json, csv, lm3 (Bosphorus), bnd (BU-3DFE), pp (MeshLab), fcsv or mrk.json (3D Slicer). "
            "[default: the suffix of --out; csv if the points are printed; json for several scans]",
        ),
    ] = None,
    scheme: Annotated[
        str | None,
        typer.Option(help="Write the points of ibug68, bu83 or bosphorus only, in their order. [default: all]"),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            help="Also write one page with each scan's face from the front and its points, the doubtful first."
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="Weights that `fer3d train landmarks` wrote. [default: those of the package]"),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="For several scans: number of processes. [default: one per core]", min=1)
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Replace the files of an earlier run. [default: keep those still valid]")
    ] = False,
) -> None:
    """Find the face of bare scans, and place its landmarks: no texture, no hints, any pose, unit and axes.

    Of one scan, the points are printed as a table, or written with -o; a summary says how sure the face is, its unit,
    and the axes as other commands take them. Of several, each gets a landmark file in a folder, and landmarks.csv
    lists the results. A scan that fails is a row with the reason, and the exit code is then 3. A stopped run goes on
    where it stopped. A landmark file that this command has not written is never replaced.

        fer3d landmarks scan.ply > points.csv

        fer3d landmarks scan.ply -o scan.mrk.json --html look.html

        fer3d landmarks scans/ -o landmarks --format json --scheme ibug68 --html landmarks.html

        fer3d landmarks scans/ -o scans --format pp  (beside the scans, where `predict --landmarks` finds them)
    """
    from fer3d.cli import show_landmarks

    request = show_landmarks.Request.of(scans, out, format_, scheme, html, weights, workers, again)
    one, printed = request.single, request.single and out is None
    idle = {"workers": "is of several scans, this is one" if one else ""}
    check_used(context, idle | {"again": "is of files, the points are printed" if printed else ""})
    failed = show_landmarks.run_landmarks(request)
    raise typer.Exit(SOME_FAILED if failed else 0)


def train_landmarks(
    out: Annotated[
        Path,
        typer.Option("-o", "--out", help="File of weights to write, for `fer3d landmarks --weights`."),
    ] = Path("landmarks.safetensors"),
    work: Annotated[
        Path | None,
        typer.Option(
            help="Folder for examples and half-trained weights, about 1 MB for each of the people; a stopped training "
            "goes on from there. [default: the name of --out, ending in .work]"
        ),
    ] = None,
    people: Annotated[
        int, typer.Option(help="Number of simulated people and things; each is scanned three times.", min=1)
    ] = 4000,
    face_model: Annotated[
        list[Path] | None,
        typer.Option(
            help="A measured face model beside the built-in one: an .npz file or the folder of ICT-FaceKit; repeatable."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed.", min=0)] = 100,
    workers: Annotated[
        int | None, typer.Option(help="Processes that simulate, threads that train. [default: one per core]", min=1)
    ] = None,
    finder_epochs: Annotated[
        int, typer.Option(help="Passes over the examples of the network that finds the face.", min=1)
    ] = 10,
    placer_epochs: Annotated[
        int, typer.Option(help="Passes over the examples of the network that places the points.", min=1)
    ] = 6,
    trials: Annotated[int, typer.Option(help="Further scans, to which the probabilities are fitted.", min=1)] = 600,
) -> None:
    """Train the networks of `fer3d landmarks` on simulated scans alone, and write one file of weights.

    The stages are: simulate people and things, train the network that finds the face, train the one that places the
    points, and calibrate what they say of themselves. The defaults take about an hour and a half on two cores. A
    stopped training goes on where it stopped, with the same command.

        fer3d train landmarks -o mine.safetensors

        fer3d train landmarks -o mine.safetensors --face-model ICT-FaceKit/FaceXModel --people 6000

        fer3d landmarks scans/ --weights mine.safetensors
    """
    from fer3d.cli import show_landmarks
    from fer3d.train.landmarks.command import DetectorPlan

    models = tuple(map(str, face_model or ()))
    plan = DetectorPlan(people, seed, models, finder_epochs, placer_epochs, trials)
    show_landmarks.run_train_landmarks(out, work, plan, workers)
