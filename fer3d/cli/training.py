"""The commands that train: one run, the parts of a model left out one by one, the tables of published studies.

`fer3d.cli.app` puts them beside the others. What takes time to import is imported inside the command that needs it.
"""

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[
    str,
    typer.Argument(
        help="Of maps: dff-cnn, df-cnn or plain-cnn; of the texture alone also tang, yu-zhang, kahou, alexnet, vgg-11, "
        "vgg-16, 3c2f, khorrami, dlp-cnn, frr-cnn or resnet-18 (--maps texture). Of sample trees: flm-cnn, gcnn (a "
        "plain geodesic CNN)."
    ),
]
Data = Annotated[Path, typer.Option(help="Prepared folder: what `fer3d preprocess` wrote.")]
ProtocolName = Annotated[
    str,
    typer.Option(
        help="bu3dfe-p1, -p2, -subset2, bosphorus-six, bu4dfe-60, -101, oulu-casia-vl, k-fold, leave-one-out, cross, "
        "parts (the data set's own train and test), or a folds.json."
    ),
]
TestData = Annotated[Path | None, typer.Option(help="Prepared folder to test on, with protocol cross.")]
FoldNumbers = Annotated[str, typer.Option("--fold", help="Folds to train: all, or numbers such as 0,1,2.")]
FoldCount = Annotated[int | None, typer.Option("--folds", help="How many folds k-fold makes. [default: 10]", min=2)]
Rounds = Annotated[int, typer.Option(help="How often subjects are shuffled anew.", min=1)]
Labels = Annotated[
    str | None,
    typer.Option(
        help="Labels for k-fold, leave-one-out, cross, parts, comma-separated, out of the seven and contempt. "
        "[default: the six]"
    ),
]
Validation = Annotated[bool, typer.Option("--validation", help="48 / 6 / 6 subjects instead of 54 / 6.")]
AllowMissing = Annotated[bool, typer.Option("--allow-missing", help="Make do with the subjects that are there.")]
Preset = Annotated[str, typer.Option(help="small (CPU), full (GPU, 224 pixels) or tiny (demonstrations).")]
TrainConfig = Annotated[Path | None, typer.Option(help="TOML file with settings.")]
TrainSet = Annotated[
    list[str] | None,
    typer.Option("--set", help="One setting, key=value; repeatable. `fer3d settings train` lists them."),
]
Accelerator = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Devices = Annotated[int, typer.Option(help="Devices, or processes on the CPU; with torchrun, its processes.", min=1)]


def train(
    model: Model,
    data: Data = Path("prepared"),
    out: Annotated[Path, typer.Option("-o", "--out", help="Run folder to write.")] = Path("runs/run"),
    protocol: ProtocolName = "k-fold",
    test_data: TestData = None,
    fold: FoldNumbers = "all",
    folds: FoldCount = None,
    rounds: Rounds = 1,
    labels: Labels = None,
    maps: Annotated[str | None, typer.Option(help="Comma-separated map groups to feed. [default: all four]")] = None,
    init: Annotated[str | None, typer.Option(help="Image weights for the branches: a file, torchvision, timm.")] = None,
    no_mes: Annotated[bool, typer.Option("--no-mes", help="flm-cnn without multi-scale encoding.")] = False,
    no_hvp: Annotated[bool, typer.Option("--no-hvp", help="flm-cnn without human-vision-inspired pooling.")] = False,
    uniform: Annotated[bool, typer.Option("--uniform", help="flm-cnn on evenly spread vertices, no tree.")] = False,
    validation: Validation = False,
    allow_missing: AllowMissing = False,
    preset: Preset = "small",
    config: TrainConfig = None,
    set_: TrainSet = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in that folder.")] = False,
    accelerator: Accelerator = "auto",
    devices: Devices = 1,
) -> None:
    """Train and test a model on every fold of a protocol, by subject; then measure it.

    A killed run goes on with --resume and ends with the same weights. Test subjects never choose anything.

        fer3d train dff-cnn --data prepared --protocol bu3dfe-p1 -o runs/p1

        fer3d train flm-cnn --data prepared -o runs/flm  (after fer3d preprocess --tree)

        torchrun --nproc-per-node 2 -m fer3d train dff-cnn --devices 2 ...
    """
    from fer3d.cli import show_training
    from fer3d.train.plan import experiment_of
    from fer3d.train.run import Device
    from fer3d.train.settings import train_settings

    switches = {"mes": no_mes, "hvp": no_hvp, "tree": uniform}
    own = {"maps": maps, "init": init, **{name: False for name, given in switches.items() if given}}
    settings = train_settings(model, preset, config, set_ or (), model=own)
    experiment = experiment_of(data, protocol, test_data, fold, folds, rounds, labels, validation, allow_missing)
    show_training.run_train(model, experiment, out, settings, resume, Device(accelerator, devices))


def ablate(
    model: Model = "dff-cnn",
    maps: Annotated[bool, typer.Option("--maps", help="Over all subsets of the maps, of a model of maps.")] = True,
    data: Data = Path("prepared"),
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the runs and the table.")] = Path("runs/ablation"),
    protocol: ProtocolName = "k-fold",
    fold: FoldNumbers = "all",
    folds: FoldCount = None,
    rounds: Rounds = 1,
    labels: Labels = None,
    allow_missing: AllowMissing = False,
    preset: Preset = "small",
    config: TrainConfig = None,
    set_: TrainSet = None,
    accelerator: Accelerator = "auto",
    devices: Devices = 1,
    workers: Annotated[int, typer.Option(help="Variants trained at once on a CPU, a thread each.", min=1)] = 1,
) -> None:
    """Which parts help? Train on all 15 subsets of depth, normal, curvature and texture; one table.

    Of flm-cnn the parts are multi-scale encoding, pooling like a retina's and the tree: all, each left out, none.

    Run it again after a stop: what is finished is kept.
    """
    from fer3d.cli import show_training
    from fer3d.train.plan import experiment_of
    from fer3d.train.run import Device
    from fer3d.train.settings import train_settings

    settings = train_settings(model, preset, config, set_ or ())
    experiment = experiment_of(data, protocol, None, fold, folds, rounds, labels, False, allow_missing)
    show_training.run_ablate(model, experiment, out, settings, Device(accelerator, devices), workers)


study = typer.Typer(no_args_is_help=True, help="Tables of many runs, after published studies.")


@study.command("illumination")
def study_illumination(
    data: Annotated[
        list[Path], typer.Option(help="Prepared folder with pictures or textures; may be repeated.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the runs and the table.")] = Path(
        "runs/illumination"
    ),
    networks: Annotated[str, typer.Option(help="Comma-separated; any network for pictures.")] = (
        "tang,yu-zhang,kahou,alexnet"
    ),
    illuminations: Annotated[
        str, typer.Option(help="Comma-separated, out of raw, hist-eq, isotropic, dct, dog, tan-triggs.")
    ] = "raw,hist-eq,isotropic,dct,dog",
    protocol: ProtocolName = "k-fold",
    fold: FoldNumbers = "all",
    folds: FoldCount = None,
    rounds: Rounds = 1,
    labels: Labels = None,
    allow_missing: AllowMissing = False,
    preset: Preset = "small",
    config: TrainConfig = None,
    set_: TrainSet = None,
    accelerator: Accelerator = "auto",
    devices: Devices = 1,
    workers: Annotated[int, typer.Option(help="Runs at once on a CPU, a thread each.", min=1)] = 1,
) -> None:
    """Which treatment of the light suits which network? 4 networks x 5 treatments x the data sets at hand; one table.

    After Shin, Kim and Kwon (2016). hist-eq evens the histogram, isotropic divides by a smooth luminance, dct drops the
    slowest waves of the logarithm, dog is a difference of Gaussians. All networks see 48 x 48 pixels unless
    `--set model.pixels=...` says otherwise. Each cell is a run of its own: `fer3d compare` and `fer3d report` read
    them.

    Run it again after a stop: what is finished is kept.

        fer3d preprocess kdef -o kdef-48 --size 48

        fer3d study illumination --data kdef-48 --data jaffe-48 --folds 5 --workers 4 -o runs/illumination
    """
    from fer3d.cli import show_training
    from fer3d.train.plan import experiment_of
    from fer3d.train.run import Device
    from fer3d.train.settings import train_settings

    names = networks.split(",")
    settings = {}
    for name in names:
        chosen = train_settings(name, preset, config, set_ or ())
        if chosen.model.model_dump().get("pixels", 0) is None:
            chosen = chosen.model_copy(update={"model": chosen.model.model_copy(update={"pixels": 48})})
        settings[name] = chosen
    experiment = experiment_of(data[0], protocol, None, fold, folds, rounds, labels, False, allow_missing)
    show_training.run_study_illumination(
        data,
        experiment,
        out,
        settings,
        names,
        illuminations.split(","),
        Device(accelerator, devices),
        workers,
    )
