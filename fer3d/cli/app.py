"""The commands: parse, then one call. Whatever takes time to import is imported inside the command that needs it.

Exit codes: 0 all went well; 3 the run finished and some scans failed; 1 the run stopped with an error; 2 wrong usage.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch or OpenBLAS: spinning threads starve the others

import typer

from fer3d.cli import training

if TYPE_CHECKING:
    from fer3d.prepare.folder import Summary

SOME_FAILED = 3

app = typer.Typer(
    help="Facial expressions from 3D and 4D scans: read, clean, align, map, recognise.\n\n"
    "No data yet? `fer3d synth scans` makes some. Then `fer3d inspect scans`, `fer3d preprocess scans`.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Scans = Annotated[Path, typer.Argument(help="Folder of raw scans, in the layout they came in.", show_default=False)]
Dataset = Annotated[
    str, typer.Option(help="Card of the data set: a name, a path to a dataset.toml, or `auto` to look which one fits.")
]


def main() -> None:
    """Entry point: run a command; an error of ours is one line on stderr and exit code 1."""
    from fer3d.errors import Fer3dError

    try:
        app()
    except Fer3dError as error:
        print(f"fer3d: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(1)
    except KeyboardInterrupt:
        print("fer3d: stopped; run the same command again to go on", file=sys.stderr)  # noqa: T201
        sys.exit(130)


def _version(wanted: bool) -> None:
    if wanted:
        from fer3d import __version__, _native

        kernels = "CPU and CUDA" if _native.has_cuda else "CPU (built without CUDA kernels)"
        typer.echo(f"fer3d {__version__}, native kernels: {kernels}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Version and native kernels.")
    ] = False,
) -> None:
    """Options that stand before a command."""


@app.command()
def preprocess(
    scans: Scans,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write. An earlier run there goes on.")] = Path(
        "prepared"
    ),
    dataset: Dataset = "auto",
    maps: Annotated[
        str | None, typer.Option(help="Comma-separated: depth, normal, curvature, texture. [default: all]")
    ] = None,
    size: Annotated[int | None, typer.Option(help="Rows and columns of a map. [default: 224]")] = None,
    tree: Annotated[
        bool, typer.Option("--tree", help="Also make sample trees, for models that convolve on the surface.")
    ] = False,
    workers: Annotated[int | None, typer.Option(help="Processes. [default: one a core]", min=1)] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first scan that fails.")] = False,
    config: Annotated[Path | None, typer.Option(help="TOML file with settings.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="One setting, key=value; repeatable. `fer3d settings` lists them.")
    ] = None,
) -> None:
    """Raw scans in, prepared data out: clean, align, crop, curvature, maps, store.

    A scan that cannot be prepared is a line in the manifest with its reason, and exit code 3. A killed run goes on
    where it was; only what changed is done again.

        fer3d preprocess BU-3DFE -o prepared --workers 8

        fer3d preprocess BU-3DFE -o prepared --tree --set tree_levels=4096,256,68

        fer3d preprocess my_scans --dataset my_card/dataset.toml --set crop_mm=80
    """
    from fer3d.cli import show_preparation
    from fer3d.config import preprocess_settings

    groups = tuple(maps.split(",")) if maps else None
    chosen = preprocess_settings(config, set_ or (), maps=groups, size=size, tree=tree or None)
    summary = show_preparation.run_preprocess(scans, out, dataset, chosen, workers, strict)
    raise typer.Exit(_exit_code(summary))


@app.command()
def settings(
    command: Annotated[str, typer.Argument(help="preprocess or train.")] = "preprocess",
) -> None:
    """Every setting of `preprocess` or `train` with its default, as a TOML file to start from."""
    from fer3d.cli import show_preparation

    show_preparation.print_settings(command)


@app.command()
def inspect(
    scans: Scans,
    dataset: Dataset = "auto",
    read: Annotated[bool, typer.Option(help="Try to read every file, not only look at names.")] = True,
    workers: Annotated[int | None, typer.Option(help="Processes. [default: one a core]", min=1)] = None,
) -> None:
    """What is in a folder of scans: subjects, classes, what is missing, extra or unreadable."""
    from fer3d.cli import show_preparation

    unreadable = show_preparation.run_inspect(scans, dataset, read, workers)
    raise typer.Exit(SOME_FAILED if unreadable else 0)


@app.command()
def synth(
    out: Annotated[Path, typer.Argument(help="Folder to write.")] = Path("scans"),
    layout: Annotated[str, typer.Option(help="Which data set's: bu3dfe, bu4dfe, bosphorus or frgc.")] = "bu3dfe",
    subjects: Annotated[int, typer.Option(help="Simulated people.", min=1)] = 6,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes, for any number of workers.")] = 0,
    workers: Annotated[int | None, typer.Option(help="Processes. [default: one a core]", min=1)] = None,
    face_model: Annotated[
        Path | None, typer.Option(help="A measured face model: an .npz, or ICT-FaceKit's folder. [default: our own]")
    ] = None,
    levels: Annotated[str, typer.Option(help="Intensities of bu3dfe, comma-separated, of 1 to 4.")] = "1,2,3,4",
    frames: Annotated[int, typer.Option(help="Frames a sequence of bu4dfe; the real ones have about 100.")] = 12,
    meshes: Annotated[
        bool, typer.Option("--meshes", help="Also write the face behind each scan, all in correspondence.")
    ] = False,
    pitch: Annotated[
        float | None, typer.Option(help="mm between samples. [default: as the data set's scanner]")
    ] = None,
    yaw: Annotated[float, typer.Option(help="Largest turn of the head to a side, degrees.")] = 5.0,
    nod: Annotated[float, typer.Option(help="Largest turn up or down, degrees.")] = 4.0,
    roll: Annotated[float, typer.Option(help="Largest tilt to a shoulder, degrees.")] = 3.0,
    wrinkles: Annotated[
        float, typer.Option(help="Depth of the fine lines of an expression, which only pictures show; 0: none.")
    ] = 1.0,
) -> None:
    """Simulated scans of made-up people in a data set's layout, with the truth beside them in truth.parquet.

    fer3d synth scans --layout bu3dfe --subjects 100 --workers 2

    fer3d synth scans4d --layout bu4dfe --subjects 10 --frames 100
    """
    from fer3d.cli import show_preparation

    show_preparation.run_synth(
        out,
        workers,
        (yaw, nod, roll),
        layout=layout,
        subjects=subjects,
        seed=seed,
        face_model=face_model,
        levels=_numbers(levels),
        frames=frames,
        meshes=meshes,
        pitch=pitch,
        wrinkles=wrinkles,
    )


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"should be whole numbers with commas between, is {text!r}") from None


@app.command()
def pack(
    prepared: Annotated[Path, typer.Argument(help="Folder that `fer3d preprocess` wrote.", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help="New folder for the shards.")] = Path("packed"),
    per_shard: Annotated[int, typer.Option(help="Scans a shard; 250 to 1000 suits network file systems.", min=1)] = 500,
) -> None:
    """Gather prepared scans into immutable shards: few large files instead of thousands of small ones."""
    from fer3d.prepare import store

    shards = store.pack(prepared, out, per_shard)
    typer.echo(f"{out}: {shards} shard{'s' if shards != 1 else ''}; reads like {prepared}")


@app.command()
def maps(
    scan: Annotated[Path, typer.Argument(help="One scan, any readable format.", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help="PNG to write.")] = Path("maps.png"),
    landmarks: Annotated[Path | None, typer.Option(help="Its landmark file (.bnd, .lm3), if there is one.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with settings.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="One setting, key=value; may be repeated.")] = None,
) -> None:
    """Prepare one scan and look at it: its maps as one picture, its history in words."""
    from fer3d.cli import show_preparation
    from fer3d.config import preprocess_settings

    show_preparation.run_maps(scan, out, landmarks, preprocess_settings(config, set_ or ()))


app.command()(training.train)
app.command()(training.ablate)
app.add_typer(training.study, name="study")


Runs = Annotated[list[Path], typer.Argument(help="Run folders of `fer3d train`.", show_default=False)]
Resamples = Annotated[int, typer.Option(help="Resamples of the subjects behind an interval.", min=1)]
BootstrapSeed = Annotated[int, typer.Option(help="Same seed, same intervals.")]


@app.command()
def evaluate(
    runs: Runs,
    resamples: Resamples = 10_000,
    seed: BootstrapSeed = 0,
    pose_test: Annotated[
        bool, typer.Option("--pose-test", help="Also test on turned and self-occluded scans -> pose_test.json.")
    ] = False,
    prepared: Annotated[
        Path | None, typer.Option(help="Prepared folder, for the pose test. [default: looked for]")
    ] = None,
    angles: Annotated[str | None, typer.Option(help="Of the pose test: yaws in degrees, as -30,0,30.")] = None,
    scans: Annotated[int | None, typer.Option(help="Of the pose test: at most so many. [default: all]", min=1)] = None,
    workers: Annotated[int, typer.Option(help="Of the pose test: processes.", min=1)] = 1,
) -> None:
    """Measure the predictions of a run: accuracy with its interval, classes, folds, calibration -> metrics.json.

    Intervals resample subjects, not scans: the scans of a person are alike. A number that is undefined is n/a, with
    the reason. Predictions of a subject that the fold was trained on are refused.

        fer3d evaluate runs/flm --pose-test --workers 2
    """
    from fer3d.cli import show_evaluation

    show_evaluation.run_evaluate(runs, resamples, seed)
    if pose_test:
        yaws = None if angles is None else tuple(map(float, _numbers(angles)))
        show_evaluation.run_pose_test(runs, prepared, yaws, scans, workers, resamples, seed)


@app.command()
def compare(
    runs: Runs,
    resamples: Resamples = 10_000,
    seed: BootstrapSeed = 0,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON and no tables.")] = False,
) -> None:
    """Is one run better than another? Differences on the scans that both predicted, with interval and p-value.

    The interval is a paired bootstrap by subject, the p-value McNemar's exact test, corrected for the number of pairs.
    """
    from fer3d.cli import show_evaluation

    show_evaluation.run_compare(runs, resamples, seed, json_)


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="Run folder, or one model.safetensors.", show_default=False)],
    scans: Annotated[
        list[str],
        typer.Argument(
            help="Raw scans, or pictures if the run is of pictures: files, folders, patterns in quotes.",
            show_default=False,
        ),
    ],
    fold: Annotated[str | None, typer.Option(help="One fold, as r00f00. [default: the mean of all finished]")] = None,
    landmarks: Annotated[
        bool, typer.Option("--landmarks", help="Use the .bnd, .lm3 or .pse beside a scan, where there is one.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON and no table.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV and no table.")] = False,
    unit: Annotated[str | None, typer.Option(help="Of the files: m, cm, mm or mm a unit. [default: guessed]")] = None,
    up: Annotated[str, typer.Option(help="The axis of the files that points up.")] = "+y",
    towards_camera: Annotated[str, typer.Option(help="The axis that points from the face to the camera.")] = "+z",
) -> None:
    """Recognise the expression on raw scans, of any readable format and without landmarks; or on pictures.

    Each scan goes through the run's own preprocessing and all its networks. A scan that fails is a row with its
    reason, and exit code 3.

        fer3d predict runs/dff scan.ply

        fer3d predict runs/dff scans/ --csv > expressions.csv

        fer3d predict runs/fer "holidays/*.jpg"
    """
    from fer3d.cli import show_evaluation

    failed = show_evaluation.run_predict(
        run,
        scans,
        fold,
        landmarks=landmarks,
        as_json=json_,
        as_csv=csv,
        unit=unit,
        axes=(up, towards_camera),
    )
    raise typer.Exit(SOME_FAILED if failed else 0)


@app.command()
def faces(
    pictures: Annotated[
        list[str], typer.Argument(help="Pictures: files, folders, patterns in quotes.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write: crops and faces.csv.")] = Path("faces"),
    size: Annotated[int, typer.Option(help="Side of a crop, pixels.", min=8, max=4096)] = 224,
    detectors: Annotated[
        str, typer.Option(help="Who is asked, in this order, until one finds a face; comma-separated.")
    ] = "mtcnn,hog,haar",
    all_: Annotated[bool, typer.Option("--all", help="Every face, not only the largest and most central.")] = False,
    whole_picture: Annotated[
        bool, typer.Option("--whole-picture", help="Where no face is found, take the whole picture for one.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON, with landmarks, and no table.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV and no table.")] = False,
) -> None:
    """Find faces in pictures; cut them out with the eyes level, always at the same place.

    Needs `pip install 'fer3d[face]'`. A picture that cannot be read or shows no face is a row with its reason, and exit
    code 3.

        fer3d faces anna.jpg "holidays/*.png" -o crops --all
    """
    from fer3d.cli import show_faces

    failed = show_faces.run_faces(
        pictures,
        out,
        size=size,
        detectors=tuple(detectors.split(",")),
        every=all_,
        whole_picture=whole_picture,
        as_json=json_,
        as_csv=csv,
    )
    raise typer.Exit(SOME_FAILED if failed else 0)


@app.command()
def report(
    runs: Runs,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="[default: report.html in the first run]")] = None,
    prepared: Annotated[
        Path | None, typer.Option(help="Prepared folder, for pictures of the mistakes. [default: looked for]")
    ] = None,
) -> None:
    """One self-contained report.html of one run, or of several with their comparison."""
    from fer3d.cli import show_evaluation

    show_evaluation.run_report(runs, out, prepared)


def _exit_code(summary: "Summary") -> int:
    if not summary.failures:
        return 0
    return SOME_FAILED if summary.prepared + summary.kept else 1
