"""The commands that train: `train` one run, `ablate` the parts of a model, `study` the tables of published studies.

`fer3d.cli.app` registers them. A module that is slow to import is imported inside the command that needs it.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from fer3d.cli.options import DATA, NETWORK, RUNNING, TrainingOptions, with_options

SOME_FAILED = 3  # the exit code when the command finished and some of its scans or runs failed

Model = Annotated[
    str,
    typer.Argument(
        help="For maps: oriented-fusion, which is ours; dff-cnn and df-cnn, after their papers; plain-cnn. For "
        "textures and pictures: tang, yu-zhang, kahou, alexnet, vgg-11, vgg-16, 3c2f, khorrami, dlp-cnn, frr-cnn or "
        "resnet-18. For sample trees: surface-grid, which is ours; flm-cnn, after its paper; or gcnn, a plain geodesic "
        "CNN. Your own: module:Class, a subclass of "
        "fer3d.models.network.Network."
    ),
]
Data = Annotated[Path, typer.Option(help="Prepared folder, as `fer3d preprocess` wrote it.", rich_help_panel=DATA)]
DEFAULTS = TrainingOptions()


@with_options(TrainingOptions)
def train(
    model: Model,
    data: Data = Path("prepared"),
    out: Annotated[Path, typer.Option("-o", "--out", help="Run folder to write.", rich_help_panel=RUNNING)] = Path(
        "runs/run"
    ),
    test_data: Annotated[
        Path | None, typer.Option(help="With protocol cross: prepared folder to test on.", rich_help_panel=DATA)
    ] = None,
    distinct: Annotated[
        bool,
        typer.Option(
            "--distinct",
            help="For cross: the two folders hold different people, even where their names are the same.",
            rich_help_panel=DATA,
        ),
    ] = False,
    maps: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated input map groups, out of depth, normal, curvature, texture. [default: all four]",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            help="Initial weights: a run, a model.safetensors, a file of other weights; for dff-cnn and df-cnn also "
            "torchvision or timm. The layers that fit are taken, and the run says which.",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    no_mes: Annotated[
        bool,
        typer.Option("--no-mes", help="flm-cnn or surface-grid without multi-scale encoding.", rich_help_panel=NETWORK),
    ] = False,
    no_hvp: Annotated[
        bool,
        typer.Option(
            "--no-hvp",
            help="flm-cnn or surface-grid without human-vision-inspired pooling.",
            rich_help_panel=NETWORK,
        ),
    ] = False,
    uniform: Annotated[
        bool,
        typer.Option(
            "--uniform",
            help="flm-cnn or surface-grid on evenly spread points of one level, without tree.",
            rich_help_panel=NETWORK,
        ),
    ] = False,
    validation: Annotated[
        bool,
        typer.Option(
            "--validation",
            help="Use validation subjects: 48 / 6 / 6 (train / validation / test) instead of 54 / 6. Needed by "
            "`fer3d ensemble` and `--set select=best`.",
            rich_help_panel=DATA,
        ),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in the folder.", rich_help_panel=RUNNING)
    ] = False,
    options: TrainingOptions = DEFAULTS,
) -> None:
    """Train and test a model on every fold of a subject-independent protocol, then evaluate it.

    A killed run continues with --resume and ends with the same weights. Test subjects never influence training or the
    choice of weights.

        fer3d train oriented-fusion --data prepared --folds 4 -o runs/first

        fer3d train oriented-fusion --data prepared --protocol bu3dfe-p1 --seed 1 -o runs/p1

        fer3d train plain-cnn --maps texture --labels neutral,happiness,sadness --data pictures -o runs/three

        fer3d train oriented-fusion --data mine --protocol cross --test-data theirs --distinct -o runs/cross

        fer3d train surface-grid --data prepared -o runs/grid  (after fer3d preprocess --tree)

        fer3d train flm-cnn --data prepared -o runs/flm  (after fer3d preprocess --tree --set tree_top=landmarks)

        fer3d train tang --data fer2013 --protocol parts -o runs/tang  (as its paper; --recipe ours: as this package)

        fer3d train tang --data sfew --init runs/tang -o runs/fine  (fine-tuned)

        fer3d train plain-cnn --maps depth,normal --set model.width=8 --set epochs=20 -o runs/small

        fer3d train my_networks:MyNet --data prepared -o runs/mine

        torchrun --nproc-per-node 2 -m fer3d train oriented-fusion --devices 2 ...

    `fer3d train landmarks --help` is of the networks that place landmarks.
    """
    from fer3d.cli import show_training
    from fer3d.errors import ArgumentError

    if model == "landmarks":
        raise ArgumentError("`landmarks` should follow `train` at once: fer3d train landmarks [OPTIONS]")

    switches = {"mes": no_mes, "hvp": no_hvp, "tree": uniform}
    own = {"maps": maps, "init": init, **{name: False for name, given in switches.items() if given}}
    settings = options.settings(model, own)
    experiment = options.experiment(data, test_data, validation=validation, distinct=distinct)
    show_training.run_train(model, experiment, out, settings, resume, options.device())


@with_options(TrainingOptions)
def ablate(
    model: Model = "oriented-fusion",
    data: Data = Path("prepared"),
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder of the runs and the table.", rich_help_panel=RUNNING)
    ] = Path("runs/ablation"),
    workers: Annotated[
        int,
        typer.Option(help="Variants trained at once on a CPU, one thread each.", min=1, rich_help_panel=RUNNING),
    ] = 1,
    options: TrainingOptions = DEFAULTS,
) -> None:
    """Measure which parts help: train on all 15 subsets of depth, normal, curvature and texture; print one table.

    The parts of flm-cnn are multi-scale encoding, human-vision-inspired pooling and the tree: it is trained with all,
    without each, and with none, on the same points and with the same last layers. The table also says how much memory
    a scan takes, and how long its prediction.

        fer3d ablate oriented-fusion --data prepared --folds 4 --workers 2 -o runs/ablation

    After a stop, the same command keeps the finished runs. A run that fails is a line with the reason, and the exit
    code is then 3.
    """
    from fer3d.cli import show_training
    from fer3d.evaluate.grid import ablation_grid

    grid = ablation_grid(model, options.experiment(data), out, options.settings(model))
    failed = show_training.run_grid(grid, options.device(), workers)
    raise typer.Exit(SOME_FAILED if failed else 0)


study = typer.Typer(no_args_is_help=True, help="Train many runs and print a table, after published studies.")


@study.command("illumination")
@with_options(TrainingOptions)
def study_illumination(
    data: Annotated[
        list[Path],
        typer.Option(
            help="Prepared folder with pictures or textures; repeatable.", show_default=False, rich_help_panel=DATA
        ),
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder of the runs and the table.", rich_help_panel=RUNNING)
    ] = Path("runs/illumination"),
    networks: Annotated[
        str, typer.Option(help="Comma-separated networks for pictures.", rich_help_panel=NETWORK)
    ] = "tang,yu-zhang,kahou,alexnet",
    illuminations: Annotated[
        str,
        typer.Option(
            help="Comma-separated normalisations: raw, hist-eq, isotropic, dct, dog, tan-triggs, plane, hist-eq-plane.",
            rich_help_panel=NETWORK,
        ),
    ] = "raw,hist-eq,isotropic,dct,dog",
    workers: Annotated[
        int, typer.Option(help="Runs trained at once on a CPU, one thread each.", min=1, rich_help_panel=RUNNING)
    ] = 1,
    options: TrainingOptions = DEFAULTS,
) -> None:
    """Measure which illumination normalisation suits which network: 4 networks x 5 normalisations x your data sets.

    The study follows Shin, Kim and Kwon (2016). hist-eq equalises the histogram, isotropic divides by a smooth
    luminance, dct drops the lowest frequencies of the logarithm, dog is a difference of Gaussians. All networks see
    48 x 48 pixels unless `--set model.pixels=...` changes that, and train alike, by `--recipe ours`, unless
    `--recipe paper` is typed. Each cell of the table is a run, which `fer3d compare`
    and `fer3d report` read.

    After a stop, the same command keeps the finished runs. A run that fails is a line with the reason, and the exit
    code is then 3.

        fer3d preprocess kdef -o kdef-48 --size 48

        fer3d study illumination --data kdef-48 --data jaffe-48 --folds 5 --workers 4 -o runs/illumination
    """
    from fer3d.cli import show_training
    from fer3d.evaluate.grid import STUDIED_PIXELS, illumination_grid, vary
    from fer3d.train.recipes import OURS

    options = options if options.recipe else replace(options, recipe=OURS)  # all networks are trained alike
    settings = {name: options.settings(name) for name in networks.split(",")}
    for name, chosen in settings.items():
        if chosen.model.model_dump().get("pixels", 0) is None:
            settings[name] = vary(chosen, {"pixels": STUDIED_PIXELS})
    grid = illumination_grid(data, options.experiment(data[0]), out, settings, illuminations.split(","))
    failed = show_training.run_grid(grid, options.device(), workers)
    raise typer.Exit(SOME_FAILED if failed else 0)
