"""Options that several training commands share: one dataclass, whose fields typer shows as options of each of them."""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fer3d.config import TrainSettings
    from fer3d.train.plan import Experiment
    from fer3d.train.run import Device


@dataclass(frozen=True)
class TrainingOptions:
    """Which folds, which settings, which device."""

    protocol: Annotated[
        str,
        typer.Option(
            help="bu3dfe-p1, -p2, -subset2, bosphorus-six, bu4dfe-60, -101, oulu-casia-vl, k-fold, leave-one-out, "
            "cross, parts (the data set's own train and test), a protocol of the card that the scans were prepared "
            "with, or a folds.json."
        ),
    ] = "k-fold"
    fold: Annotated[str, typer.Option("--fold", help="Folds to train: all, or numbers such as 0,1,2.")] = "all"
    folds: Annotated[int | None, typer.Option("--folds", help="How many folds k-fold makes. [default: 10]", min=2)] = (
        None
    )
    target: Annotated[
        str,
        typer.Option(
            help="What the network is to say: expression, compound, action-units, action-unit-intensities, valence, "
            "arousal or valence-arousal; all but expression with k-fold, leave-one-out, cross or parts."
        ),
    ] = "expression"
    rounds: Annotated[int, typer.Option(help="How often subjects are shuffled anew.", min=1)] = 1
    labels: Annotated[
        str | None,
        typer.Option(
            help="For k-fold, leave-one-out, cross, parts: comma-separated labels out of the seven and contempt, or "
            "units. [default: the six; of other targets all that occur]"
        ),
    ] = None
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Use the subjects that are there, where the protocol names others.")
    ] = False
    preset: Annotated[str, typer.Option(help="small (CPU), full (GPU, 224 pixels) or tiny (demonstrations).")] = "small"
    config: Annotated[Path | None, typer.Option(help="TOML file with settings.")] = None
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="One setting, key=value, or model.key=value of the network; repeatable. `fer3d settings train "
            "NETWORK` lists them.",
        ),
    ] = field(default=None)
    accelerator: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto"
    devices: Annotated[
        int, typer.Option(help="Devices, or processes on the CPU; with torchrun, its processes.", min=1)
    ] = 1

    def experiment(self, data: Path, test_data: Path | None = None, *, validation: bool = False) -> "Experiment":
        """Data, protocol and folds. ArgumentError if `fold` is no list of numbers."""
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
        )

    def settings(self, model: str, own: Mapping[str, Any] | None = None) -> "TrainSettings":
        """Of training and of the network; `own` are the network's that have options of their own."""
        from fer3d.train.settings import train_settings

        return train_settings(model, self.preset, self.config, self.set_ or (), model=own)

    def device(self) -> "Device":
        """Where to compute."""
        from fer3d.train.run import Device

        return Device(self.accelerator, self.devices)


def with_options(kind: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Show the fields of a dataclass as options of a command, whose last parameter takes an object of it."""

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
