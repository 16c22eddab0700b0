"""The commands of `fer3d`: each parses its options and calls one function.

A module that is slow to import is imported inside the command that needs it.

Exit codes: 0 success; 3 the command finished, but some scans or runs failed; 1 the command stopped with an error;
2 wrong usage.
"""

import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch or OpenBLAS: spinning threads starve the others

import typer
from typer.core import TyperGroup

from fer3d.cli import audit as audit_commands
from fer3d.cli import landmarks as landmark_commands
from fer3d.cli import training
from fer3d.cli.conditions import check_used
from fer3d.cli.options import AxisOptions, with_options
from fer3d.cli.training import SOME_FAILED

if TYPE_CHECKING:
    from fer3d.prepare.folder import Summary

_ORDER = (
    "synth", "inspect", "preprocess", "pack", "train", "train landmarks", "ablate", "study", "settings", "evaluate",
    "compare", "audit",
)  # fmt: skip


class _InOrder(TyperGroup):
    """The commands in the order of their use. A command may have a name of two words, such as `train landmarks`."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        names = list(super().list_commands(ctx))
        return sorted(names, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> Any:  # type: ignore[override]
        if len(args) > 1 and (command := self.get_command(ctx, pair := " ".join(args[:2]))) is not None:
            return pair, command, args[2:]
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_InOrder,
    help="Recognise facial expressions from 3D and 4D scans: read, clean and align scans, render maps, train and "
    "evaluate networks.\n\n"
    "No data yet? A first hour, on simulated faces:\n\n"
    "    fer3d synth scans --subjects 24 --levels 3,4\n\n"
    "    fer3d inspect scans\n\n"
    "    fer3d preprocess scans -o prepared\n\n"
    "    fer3d train oriented-fusion --data prepared --folds 4 --preset tiny -o runs/first\n\n"
    "    fer3d report runs/first",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# Panels of the commands in `fer3d --help`.
DATA, TRAIN, RESULTS, USE = "Prepare data", "Train", "Results of runs", "One scan or picture"

Scans = Annotated[
    Path, typer.Argument(help="Folder of raw scans, in the original layout of the data set.", show_default=False)
]
Pose = Annotated[
    str | None,
    typer.Option(
        help="Landmarks that give the head pose: `file` (of the landmark file) or `found` (on the shape). "
        "[default: auto, of the file if there are any and they fit]"
    ),
]
Dataset = Annotated[
    str, typer.Option(help="Data set card: a name, the path of a dataset.toml, or `auto` to choose the card that fits.")
]


def main() -> None:
    """Entry point: run a command. A `Fer3dError` prints one line on stderr and exits with code 1."""
    from fer3d.errors import Fer3dError

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of files that are not UTF-8 are printed with escapes
            stream.reconfigure(errors="backslashreplace")
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
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version and the native kernels."),
    ] = False,
) -> None:
    """Options that come before a command."""


@app.command(rich_help_panel=DATA)
@with_options(AxisOptions)
def preprocess(
    scans: Scans,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder to write. If it holds an earlier run, that run continues.")
    ] = Path("prepared"),
    dataset: Dataset = "auto",
    maps: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated map groups: depth, normal, curvature, texture, or one that an installed package "
            "registers. [default: these four]"
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            help="Rows and columns of a map, or of the crop of a picture. 224 for networks that were published or "
            "pretrained on ImageNet. [default: 64]"
        ),
    ] = None,
    tree: Annotated[
        bool, typer.Option("--tree", help="Also compute sample trees, for models that convolve on the surface.")
    ] = False,
    crops: Annotated[
        bool,
        typer.Option(
            "--crops",
            help="Pictures are crops of faces: use them as they are. [default: as the card of the data set says]",
        ),
    ] = False,
    whole_picture: Annotated[
        bool, typer.Option("--whole-picture", help="If no face is found in a picture, use the whole picture.")
    ] = False,
    workers: Annotated[int | None, typer.Option(help="Number of processes. [default: one per core]", min=1)] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first scan that fails.")] = False,
    config: Annotated[Path | None, typer.Option(help="TOML file with settings.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="One setting as key=value; repeatable. `fer3d settings` lists all."),
    ] = None,
    pose: Pose = None,
    *,
    axes: AxisOptions,
) -> None:
    """Prepare raw scans: clean, align and crop them, compute curvature, render maps, and store the result.

    The manifest gives the reason for each scan that cannot be prepared, and the exit code is then 3. A killed run
    continues where it stopped; only what has changed is computed again.

        fer3d preprocess scans -o prepared

        fer3d preprocess BU-3DFE -o prepared --size 224 --workers 8  (for networks pretrained on ImageNet)

        fer3d preprocess BU-3DFE -o prepared --tree --set tree_levels=4096,256,68

        fer3d preprocess my_scans --dataset my_card/dataset.toml --set crop_mm=80

        fer3d preprocess my_scans --up +z --towards-camera -y --unit mm
    """
    from fer3d.cli import show_preparation
    from fer3d.config import preprocess_settings

    groups = tuple(maps.split(",")) if maps else None
    chosen = preprocess_settings(
        config,
        set_ or (),
        maps=groups,
        size=size,
        tree=tree or None,
        pose=pose,
        unit=axes.checked_unit(),
        crops=crops or None,
        whole_picture=whole_picture or None,
    )
    summary = show_preparation.run_preprocess(scans, out, dataset, chosen, workers, strict, axes)
    raise typer.Exit(_exit_code(summary))


@app.command(rich_help_panel=TRAIN)
def settings(
    context: typer.Context,
    command: Annotated[str, typer.Argument(help="preprocess or train.")] = "preprocess",
    network: Annotated[
        str, typer.Argument(help="For train: the network, as each has its own settings.")
    ] = "oriented-fusion",
    recipe: Annotated[
        str | None,
        typer.Option(help="For train: the recipe, of a paper or ours. [default: that of the network's paper, if any]"),
    ] = None,
) -> None:
    """Print every setting of `preprocess` or `train` with its default, as a TOML file to edit.

    fer3d settings preprocess > prepare.toml

    fer3d preprocess scans --config prepare.toml

    fer3d settings train flm-cnn > flm.toml

    fer3d settings train yu-zhang  (the recipe of its paper: what is known, from where, and what is ours)
    """
    from fer3d.cli import show_preparation

    reason = "" if command == "train" else f"is of train, this is {command}"
    check_used(context, {"network": reason, "recipe": reason})
    show_preparation.print_settings(command, network, recipe)


@app.command(rich_help_panel=DATA)
@with_options(AxisOptions)
def inspect(
    context: typer.Context,
    scans: Scans,
    dataset: Dataset = "auto",
    read: Annotated[bool, typer.Option(help="Read every file, or only check the file names.")] = True,
    workers: Annotated[int | None, typer.Option(help="Number of processes. [default: one per core]", min=1)] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON with every row instead of tables.")] = False,
    *,
    axes: AxisOptions,
) -> None:
    """List what a folder of scans holds: subjects, classes, and missing, extra or unreadable files.

    The files that were read are also measured: their unit, guessed from the size, and how high, wide and deep they are
    along the axes of the data set card or the given ones. The exit code is 3 if a file cannot be read.

        fer3d inspect BU-3DFE

        fer3d inspect my_scans --dataset generic --no-read

        fer3d inspect my_scans --up +z --towards-camera -y
    """
    from fer3d.cli import show_preparation

    check_used(context, {"workers": "" if read else "is of reading the files, which --no-read leaves out"})
    unreadable = show_preparation.run_inspect(scans, dataset, read, workers, axes, json_)
    raise typer.Exit(SOME_FAILED if unreadable else 0)


@app.command(rich_help_panel=DATA)
def synth(
    context: typer.Context,
    out: Annotated[Path, typer.Argument(help="Folder to write.")] = Path("scans"),
    layout: Annotated[
        str, typer.Option(help="Layout of which data set: bu3dfe, bu4dfe, bosphorus or frgc.")
    ] = "bu3dfe",
    subjects: Annotated[int, typer.Option(help="Number of simulated people.", min=1)] = 6,
    seed: Annotated[
        int, typer.Option(help="Random seed. The same seed gives the same bytes, for any number of workers.")
    ] = 0,
    workers: Annotated[int | None, typer.Option(help="Number of processes. [default: one per core]", min=1)] = None,
    face_model: Annotated[
        Path | None,
        typer.Option(
            help="A measured face model: an .npz file or the folder of ICT-FaceKit. [default: the built-in one]"
        ),
    ] = None,
    levels: Annotated[str, typer.Option(help="For bu3dfe: comma-separated intensities, from 1 to 4.")] = "1,2,3,4",
    frames: Annotated[int, typer.Option(help="For bu4dfe: frames per sequence. The real ones have about 100.")] = 12,
    meshes: Annotated[
        bool,
        typer.Option(
            "--meshes", help="Also write the complete face mesh behind each scan, all in vertex correspondence."
        ),
    ] = False,
    pitch: Annotated[
        float | None, typer.Option(help="Distance between samples in mm. [default: that of the data set's scanner]")
    ] = None,
    yaw: Annotated[float, typer.Option(help="Largest rotation of the head to either side, in degrees.")] = 5.0,
    nod: Annotated[float, typer.Option(help="Largest rotation up or down (pitch), in degrees.")] = 4.0,
    roll: Annotated[float, typer.Option(help="Largest rotation towards a shoulder, in degrees.")] = 3.0,
    wrinkles: Annotated[
        float, typer.Option(help="Depth of the expression wrinkles, which only the texture shows. 0: none.")
    ] = 1.0,
) -> None:
    """Simulate scans of random people in the layout of a data set; truth.parquet holds the ground truth.

    fer3d synth scans --subjects 24 --levels 3,4

    fer3d synth scans --layout bu3dfe --subjects 100 --workers 2

    fer3d synth scans4d --layout bu4dfe --subjects 10 --frames 100
    """
    from fer3d.cli import show_preparation

    check_used(
        context,
        {
            "levels": "" if layout == "bu3dfe" else f"is of --layout bu3dfe, this is {layout}",
            "frames": "" if layout == "bu4dfe" else f"is of --layout bu4dfe, this is {layout}",
        },
    )
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


@app.command(rich_help_panel=DATA)
def pack(
    prepared: Annotated[Path, typer.Argument(help="Folder that `fer3d preprocess` wrote.", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help="New folder for the shards.")] = Path("packed"),
    per_shard: Annotated[
        int, typer.Option(help="Scans per shard; 250 to 1000 suit network file systems.", min=1)
    ] = 500,
) -> None:
    """Pack prepared scans into immutable shards: a few large files instead of thousands of small ones.

    A packed folder is read like a prepared one, by all commands.

        fer3d pack prepared -o packed

        fer3d train oriented-fusion --data packed -o runs/packed
    """
    from fer3d.prepare.shards import pack as pack_folder

    shards = pack_folder(prepared, out, per_shard)
    typer.echo(f"{out}: {shards} shard{'s' if shards != 1 else ''}; reads like {prepared}")


@app.command(rich_help_panel=USE)
@with_options(AxisOptions)
def maps(
    context: typer.Context,
    scan: Annotated[Path, typer.Argument(help="One scan in any readable format.", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help="PNG to write.")] = Path("maps.png"),
    landmarks: Annotated[
        Path | None,
        typer.Option(help="Landmark file of the scan (.bnd, .lm3, .pp, .fcsv, .csv, ...), if there is one."),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with settings.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="One setting as key=value; repeatable.")] = None,
    pose: Pose = None,
    *,
    axes: AxisOptions,
) -> None:
    """Prepare one scan, write its maps as one picture, and print what each step did.

    The maps have 224 x 224 pixels, to be looked at, unless `size` is set.

        fer3d maps face.ply -o face.png

        fer3d maps scan.ply --up +z --towards-camera -y --unit mm

        fer3d maps M0001_HA04WH_F3D.wrl --landmarks M0001_HA04WH_F3D.bnd --set spike_mm=0
    """
    from fer3d.cli import show_preparation
    from fer3d.config import preprocess_settings

    chosen = preprocess_settings(config, set_ or (), pose=pose, unit=axes.checked_unit())
    stored = dict.fromkeys(("keep_mesh", "tree"), "is of prepared folders, `maps` writes a picture")
    chosen.check_used(chosen.unused(pictures=False) | stored)
    posed = "is of poses from landmark files, `pose` is found" if chosen.pose == "found" else ""
    check_used(context, {"landmarks": posed})
    if "size" not in chosen.model_fields_set:
        chosen = chosen.model_copy(update={"size": 224})
    show_preparation.run_maps(scan, out, landmarks, chosen, axes.convention())


app.command(rich_help_panel=USE)(landmark_commands.landmarks)
app.command(rich_help_panel=TRAIN)(training.train)
app.command("train landmarks", rich_help_panel=TRAIN)(landmark_commands.train_landmarks)
app.command(rich_help_panel=TRAIN)(training.ablate)
app.add_typer(training.study, name="study", rich_help_panel=TRAIN)


Runs = Annotated[list[Path], typer.Argument(help="Run folders of `fer3d train`.", show_default=False)]
Resamples = Annotated[int, typer.Option(help="Bootstrap resamples of the subjects for each interval.", min=1)]
BootstrapSeed = Annotated[int, typer.Option(help="Random seed of the bootstrap.")]


@app.command(rich_help_panel=RESULTS)
def evaluate(
    context: typer.Context,
    runs: Runs,
    resamples: Resamples = 10_000,
    seed: BootstrapSeed = 0,
    pose_test: Annotated[
        bool, typer.Option("--pose-test", help="Also test on rotated and self-occluded scans -> pose_test.json.")
    ] = False,
    prepared: Annotated[
        Path | None, typer.Option(help="For the pose test: the prepared folder. [default: the one that the run names]")
    ] = None,
    angles: Annotated[
        str | None, typer.Option(help="For the pose test: yaw angles in degrees, such as -30,0,30.")
    ] = None,
    scans: Annotated[
        int | None, typer.Option(help="For the pose test: the largest number of scans. [default: all]", min=1)
    ] = None,
    workers: Annotated[int, typer.Option(help="For the pose test: number of processes.", min=1)] = 1,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Test the run on another prepared folder, such as that of another data set -> cross_NAME.json."
        ),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Evaluate the predictions of a run: accuracy with its interval, per class and fold, calibration -> metrics.json.

    Intervals resample subjects, not scans, because scans of one person are alike. An undefined number is a dash in the
    table, and the reason stands beneath it. The command refuses predictions for a subject that the fold was trained on.
    The pose test needs a network without texture, and scans whose meshes were kept. Of several runs, a damaged one is
    left out with the reason, and the exit code is then 3.

        fer3d evaluate runs/dff runs/plain

        fer3d evaluate runs/flm --pose-test --workers 2

        fer3d evaluate runs/flm --data prepared_bosphorus
    """
    from fer3d.cli import show_evaluation

    reason = "" if pose_test else "is of the pose test: give --pose-test too"
    hint = reason and f"{reason}, or --data to test on another prepared folder"
    check_used(context, {"prepared": hint, **dict.fromkeys(("angles", "scans", "workers"), reason)})
    one = "stands for an evaluation without the pose test: run the command once with each" if pose_test else ""
    check_used(context, {"data": one, "json_": one})
    if data is not None:
        show_evaluation.run_cross_test(runs, data, resamples, seed, json_)
        return
    yaws = None if angles is None else tuple(map(float, _numbers(angles)))
    if pose_test:
        show_evaluation.check_pose_tests(runs, prepared, yaws)
    whole = show_evaluation.run_evaluate(runs, resamples, seed, json_)
    if pose_test:
        show_evaluation.run_pose_test(whole, prepared, yaws, scans, workers, resamples, seed)
    raise typer.Exit(SOME_FAILED if len(whole) < len(set(runs)) else 0)


@app.command(rich_help_panel=RESULTS)
def compare(
    runs: Runs,
    resamples: Resamples = 10_000,
    seed: BootstrapSeed = 0,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Test whether one run is better than another: accuracy differences on common scans, with interval and p-value.

    The interval comes from a paired bootstrap by subject. The p-value is that of McNemar's exact test, corrected for
    the number of pairs. A damaged run is left out with the reason, and the exit code is then 3.

        fer3d compare runs/dff runs/plain

        fer3d compare runs/* --json > comparison.json
    """
    from fer3d.cli import show_evaluation

    raise typer.Exit(SOME_FAILED if show_evaluation.run_compare(runs, resamples, seed, json_) else 0)


app.command(rich_help_panel=RESULTS)(audit_commands.audit)


@app.command(rich_help_panel=RESULTS)
def ensemble(
    runs: Runs,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", help="Folder to write, which predicts like a run; or a .json file. [default: none]"
        ),
    ] = None,
    rule: Annotated[str, typer.Option(help="The loss that the weights minimise: likelihood or hinge.")] = "likelihood",
    resamples: Resamples = 10_000,
    seed: BootstrapSeed = 0,
) -> None:
    """Combine several runs: learn weights on the validation subjects, measure accuracy on the test subjects.

    The method is that of Yu and Zhang (2015): weights are not negative and sum to 1. Each fold learns its own weights
    from the predictions for its validation subjects, never from those for its test subjects. The runs must have been
    trained with --validation, on the same folds and scans.

        fer3d ensemble runs/dff runs/flm runs/tang -o runs/three

        fer3d predict runs/three scan.ply

        fer3d compare runs/three runs/dff
    """
    from fer3d.cli import show_evaluation

    show_evaluation.run_ensemble(runs, out, rule, resamples, seed)


@app.command(rich_help_panel=USE)
@with_options(AxisOptions)
def predict(
    context: typer.Context,
    run: Annotated[Path, typer.Argument(help="Run folder, or one model.safetensors.", show_default=False)],
    scans: Annotated[
        list[str],
        typer.Argument(
            help="Raw scans, or pictures if the run was trained on pictures: files, folders, or quoted patterns.",
            show_default=False,
        ),
    ],
    fold: Annotated[
        str | None, typer.Option(help="One fold, such as r00f00. [default: the mean of all finished folds]")
    ] = None,
    landmarks: Annotated[
        bool,
        typer.Option(
            "--landmarks", help="Use the landmark file beside a scan (.bnd, .lm3, .pp, ...), if there is one."
        ),
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")] = False,
    crops: Annotated[
        bool,
        typer.Option("--crops", help="Pictures are crops of faces, as those of FER-2013: use them as they are."),
    ] = False,
    whole_picture: Annotated[
        bool, typer.Option("--whole-picture", help="If no face is found in a picture, use the whole picture.")
    ] = False,
    *,
    axes: AxisOptions,
) -> None:
    """Recognise the expression on raw scans, in any readable format and without landmarks; or on pictures.

    Each scan passes through the preprocessing of the run and all its networks. A scan that fails, or a picture in
    which no face is found, is a row with the reason, and the exit code is then 3.

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
        axes=axes,
        crops=crops,
        whole_picture=whole_picture,
        check=lambda reasons: check_used(context, reasons),
    )
    raise typer.Exit(SOME_FAILED if failed else 0)


@app.command(rich_help_panel=USE)
def faces(
    pictures: Annotated[
        list[str], typer.Argument(help="Pictures: files, folders, or quoted patterns.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the crops and faces.csv.")] = Path("faces"),
    size: Annotated[int, typer.Option(help="Side of a crop in pixels.", min=8, max=4096)] = 224,
    detectors: Annotated[
        str, typer.Option(help="Comma-separated detectors, tried in this order until one finds a face.")
    ] = "mtcnn,hog,haar",
    all_: Annotated[
        bool, typer.Option("--all", help="Cut out every face, not only the largest and most central.")
    ] = False,
    whole_picture: Annotated[
        bool, typer.Option("--whole-picture", help="If no face is found, use the whole picture.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON, with landmarks, instead of a table.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")] = False,
) -> None:
    """Find faces in pictures and cut them out, with the eyes level and always at the same position.

    Needs `pip install 'fer3d[face]'`. A picture that cannot be read or shows no face is a row with the reason, and the
    exit code is then 3.

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


@app.command(rich_help_panel=RESULTS)
def report(
    runs: Runs,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="File to write. [default: report.html in the first run folder]")
    ] = None,
    prepared: Annotated[
        Path | None,
        typer.Option(help="Prepared folder, for pictures of the mistakes. [default: the one that the run names]"),
    ] = None,
) -> None:
    """Write one self-contained report.html for a run, or for several runs with their comparison.

    A damaged run is left out with the reason, and the exit code is then 3.

        fer3d report runs/dff

        fer3d report runs/dff runs/plain -o both.html
    """
    from fer3d.cli import show_evaluation

    raise typer.Exit(SOME_FAILED if show_evaluation.run_report(runs, out, prepared) else 0)


def _exit_code(summary: "Summary") -> int:
    if not summary.failures:
        return 0
    return SOME_FAILED if summary.prepared + summary.kept else 1
