"""Options that the training commands share: a dataclass whose fields Typer shows as options of each command."""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fer3d.config import TrainSettings
    from fer3d.prepare.scan import AxisConvention
    from fer3d.train.plan import Experiment
    from fer3d.train.run import Device


# Panels of the options in the help of the training commands.
DATA, NETWORK, TRAINING, RUNNING = "Data and folds", "Network", "Training", "Running"


@dataclass(frozen=True)
class TrainingOptions:
    """The folds, the settings and the device of a training command."""

    protocol: Annotated[
        str,
        typer.Option(
            help="bu3dfe-p1, bu3dfe-p2, bu3dfe-subset2, bosphorus-six, bu4dfe-60, bu4dfe-101, oulu-casia-vl, k-fold, "
            "leave-one-out, cross (test on another data set), parts (the data set's own training and test parts), a "
            "protocol of the data set card, or a folds.json.",
            rich_help_panel=DATA,
        ),
    ] = "k-fold"
    fold: Annotated[
        str, typer.Option("--fold", help="Folds to train: all, or numbers such as 0,1,2.", rich_help_panel=DATA)
    ] = "all"
    folds: Annotated[
        int | None,
        typer.Option("--folds", help="For k-fold: the number of folds. [default: 10]", min=2, rich_help_panel=DATA),
    ] = None
    target: Annotated[
        str,
        typer.Option(
            help="What the network predicts: expression, compound, action-units, action-unit-intensities, valence, "
            "arousal or valence-arousal. All but expression need k-fold, leave-one-out, cross or parts.",
            rich_help_panel=DATA,
        ),
    ] = "expression"
    rounds: Annotated[
        int,
        typer.Option(
            help="How many times the subjects are shuffled and divided into folds.", min=1, rich_help_panel=DATA
        ),
    ] = 1
    labels: Annotated[
        str | None,
        typer.Option(
            help="For k-fold, leave-one-out, cross, parts: comma-separated expressions (the six basic ones, neutral, "
            "contempt) or action units. The run says which classes it leaves out. "
            "[default: the six basic expressions; for other targets all that occur]",
            rich_help_panel=DATA,
        ),
    ] = None
    allow_missing: Annotated[
        bool,
        typer.Option(
            "--allow-missing",
            help="Use the available subjects, even if the protocol names others.",
            rich_help_panel=DATA,
        ),
    ] = False
    seed: Annotated[
        int | None,
        typer.Option(
            help="Random seed of the folds, the initial weights, the order of the scans and the augmentation; the same "
            "as `--set seed=`. [default: 0]",
            min=0,
            rich_help_panel=TRAINING,
        ),
    ] = None
    recipe: Annotated[
        str | None,
        typer.Option(
            help="How to train: as the paper of the network did (paper, or the name of a recipe), or ours, as this "
            "package does. `fer3d settings train NETWORK` shows each value and where it is from. [default: paper, if "
            "the network has one]",
            rich_help_panel=TRAINING,
        ),
    ] = None
    preset: Annotated[
        str,
        typer.Option(
            help="small (CPU, as in the README), full (GPU, maps of `preprocess --size 224`) or tiny (demonstration).",
            rich_help_panel=TRAINING,
        ),
    ] = "small"
    config: Annotated[
        Path | None,
        typer.Option(
            help="TOML file with settings, such as an edited `fer3d settings train NETWORK`.", rich_help_panel=TRAINING
        ),
    ] = None
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="One setting as key=value, or model.key=value for a setting of the network; repeatable. "
            "`fer3d settings train NETWORK` lists all.",
            rich_help_panel=TRAINING,
        ),
    ] = field(default=None)
    accelerator: Annotated[str, typer.Option(help="auto, cpu or cuda.", rich_help_panel=RUNNING)] = "auto"
    devices: Annotated[
        int,
        typer.Option(
            help="Number of devices, or of processes on the CPU; with torchrun, its number of processes.",
            min=1,
            rich_help_panel=RUNNING,
        ),
    ] = 1

    def experiment(
        self, data: Path, test_data: Path | None = None, *, validation: bool = False, distinct: bool = False
    ) -> "Experiment":
        """The data, protocol and folds to train on. Raises ArgumentError if `fold` is not a list of numbers."""
        from fer3d.train.plan import experiment_of

        return experiment_of(
            data,
            self.protocol,
            test_data,
            self.fold,
            self.folds,
            self.rounds,
            self.labels,
            validation,
            self.allow_missing,
            self.target,
            distinct,
        )

    def settings(self, model: str, own: Mapping[str, Any] | None = None) -> "TrainSettings":
        """The settings of training and of the network; `own` holds those that have a command-line option.

        Raises:
            ArgumentError: if `seed` and `--set seed=` differ, or `recipe` and `--set recipe=`.
        """
        from fer3d.config import parse_assignments
        from fer3d.errors import ArgumentError
        from fer3d.train.settings import train_settings

        typed = {"seed": self.seed, "recipe": self.recipe}
        assigned = parse_assignments(self.set_ or ())
        for name, value in typed.items():
            if value is not None and assigned.get(name, value) != value:
                raise ArgumentError(
                    f"`--{name}` should be given once, is {value} and, by --set {name}=, {assigned[name]}"
                )
        return train_settings(model, self.preset, self.config, self.set_ or (), model=own, **typed)

    def device(self) -> "Device":
        """The device to compute on."""
        from fer3d.train.run import Device

        return Device(self.accelerator, self.devices)


@dataclass(frozen=True)
class AxisOptions:
    """The unit and the axes of scan files. What is not given is as the data set card says, or else the default."""

    unit: Annotated[
        str | None,
        typer.Option(
            help="Unit of the files: m, cm, mm, or its length in mm. [default: of the data set card or the run, else "
            "guessed from the size]"
        ),
    ] = None
    up: Annotated[
        str | None,
        typer.Option(help="Axis of the files that points up, such as +z. [default: of the data set card, else +y]"),
    ] = None
    towards_camera: Annotated[
        str | None,
        typer.Option(
            help="Axis of the files that points from the face to the camera, such as -y. [default: of the data set "
            "card, else +z]"
        ),
    ] = None

    def check_scans(self, kind: str, what: str) -> None:
        """Raise ArgumentError if one is given although `what` is of pictures: `kind` is "scans" or "pictures"."""
        from fer3d.errors import ArgumentError

        for item in fields(self) if kind == "pictures" else ():
            if getattr(self, item.name) is not None:
                raise ArgumentError(
                    f"`--{item.name.replace('_', '-')}` is of scans, {what} is of pictures: leave it out"
                )

    def convention(self) -> "AxisConvention":
        """The axes and the unit, for files of no data set. Raises ArgumentError if one is none, or both parallel."""
        from fer3d.prepare.scan import AxisConvention

        return AxisConvention(self.checked_unit() or "auto", self.up or "+y", self.towards_camera or "+z")

    def checked_unit(self) -> str | float | None:
        """The unit as a setting, or None. Raises ConfigError if it is none."""
        from fer3d.config import PreprocessSettings, settings

        if self.unit is None:
            return None
        unit: str | float = settings(PreprocessSettings, {"unit": self.unit}, "--unit").unit
        return unit


def with_options(kind: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Show the fields of the dataclass `kind` as options of a command, whose last parameter takes an instance of it."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command)
        *own, last = signature.parameters.values()
        shared = [
            inspect.Parameter(
                item.name,
                inspect.Parameter.KEYWORD_ONLY,
                annotation=item.type,
                default=inspect.Parameter.empty if item.default is MISSING else item.default,
            )
            for item in fields(kind)
        ]

        @functools.wraps(command)
        def run(**given: Any) -> None:
            command(**{last.name: kind(**{item.name: given.pop(item.name) for item in shared}), **given})

        run.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[*(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own), *shared]
        )
        run.__annotations__ = {item.name: item.annotation for item in (*own, *shared)}
        return run

    return decorate
