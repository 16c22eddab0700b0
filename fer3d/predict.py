"""Predict expressions on raw scans or pictures with the preprocessing and the networks of a training run."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fer3d.config import PreprocessSettings, settings
from fer3d.errors import ArgumentError, Fer3dError, FileError, FormatError, internal_error, without_path
from fer3d.formats.find import landmark_file
from fer3d.prepare.scan import STEPS, AxisConvention

if TYPE_CHECKING:
    from fer3d.data.input_kinds import InputKind, PreparedFace, Source
    from fer3d.train.checkpoint import ModelFacts

# Fitted to one run: of 720 scans of unseen simulated subjects, 49 % of the predictions were correct between 0.5 and
# 0.6, and 70 % between 0.6 and 0.7. Confidence depends on what a run was trained on: of a run with 12 training
# subjects, 74 % of the flagged ones (84 of 114) are correct, and all 42 others (benchmarks/results/thresholds.md).
LOW_CONFIDENCE = 0.6
SHOWN = 0.5  # probability above which an action unit counts as shown
SPLIT = 0.5  # least share of the fold models that should rank the predicted label first


class FoldModel(Protocol):
    """Interface of a trained network that prediction uses; `fer3d.train.checkpoint.LoadedModel` implements it."""

    @property
    def classes(self) -> Sequence[str]:
        """The K canonical labels."""

    @property
    def kind(self) -> InputKind:
        """The kind of its input."""

    @property
    def maps(self) -> Sequence[str]:
        """Its input map groups."""

    @property
    def facts(self) -> ModelFacts:
        """The facts that its file holds."""

    @property
    def preprocess(self) -> Mapping[str, Any]:
        """The settings that its scans were prepared with."""

    def from_scan(self, face: PreparedFace) -> Any:
        """Convert a prepared face to a batch of one."""

    def probabilities(self, batch: Any) -> Any:
        """(B, K) tensor: the class probabilities for a batch of B scans."""


@dataclass(frozen=True)
class Prediction:
    """The predicted expression of a scan.

    Attributes:
        probabilities: Canonical label -> probability, the mean over the fold models.
        agreement: Share of the fold models that rank `label` first.
        warnings: What the reader and the preprocessing had to say of the scan.
    """

    probabilities: Mapping[str, float]
    agreement: float
    warnings: tuple[str, ...] = ()

    @property
    def ranking(self) -> list[str]:
        """Labels in descending order of probability."""
        return sorted(self.probabilities, key=lambda name: -self.probabilities[name])

    @property
    def label(self) -> str:
        """The most probable label."""
        return self.ranking[0]

    @property
    def second(self) -> str:
        """The second most probable label."""
        return self.ranking[1]

    @property
    def confidence(self) -> float:
        """Probability of `label`."""
        return self.probabilities[self.label]

    @property
    def entropy(self) -> float:
        """Entropy of the probabilities divided by its maximum: 0 for certainty, 1 for equal probabilities."""
        bits = -sum(p * math.log(p) for p in self.probabilities.values() if p > 0)
        return bits / math.log(len(self.probabilities))

    @property
    def note(self) -> str:
        """Why the prediction is unreliable, or ""."""
        reasons = []
        if self.confidence < LOW_CONFIDENCE:
            reasons.append("low confidence")
        if self.agreement < SPLIT:
            reasons.append(f"only {100 * self.agreement:.0f} % of the networks agree")
        return ", ".join(reasons)

    def to_json(self) -> dict[str, Any]:
        """As a plain dict."""
        return {
            "label": self.label,
            "confidence": self.confidence,
            "second": self.second,
            "entropy": self.entropy,
            "agreement": self.agreement,
            "note": self.note,
            "probabilities": dict(self.probabilities),
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True)
class ValuePrediction:
    """The predicted action units or values of a scan, if the target of the run is not a class.

    Attributes:
        target: Name of the target.
        kind: "multi-label" or "values".
        values: Action unit -> probability that it is shown, or name -> value; the mean over the fold models.
        spread: The same names -> standard deviation over the fold models; 0 for a single model.
        warnings: What the reader and the preprocessing had to say of the scan.
    """

    target: str
    kind: str
    values: Mapping[str, float]
    spread: Mapping[str, float]
    warnings: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Summary: the units with a probability above 0.5, or the values."""
        if self.kind == "multi-label":
            return " ".join(name for name, share in self.values.items() if share > SHOWN) or "none"
        return ", ".join(f"{name} {value:+.2f}" for name, value in self.values.items())

    def to_json(self) -> dict[str, Any]:
        """As a plain dict."""
        return {
            "target": self.target,
            "values": dict(self.values),
            "spread": dict(self.spread),
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True)
class Predictor:
    """The networks and the preprocessing of a run as one callable; `load` returns it.

    Attributes:
        models: One per fold, with the same classes, maps and preprocessing.
        settings: Settings that prepare a scan for the models.
    """

    models: tuple[FoldModel, ...]
    settings: PreprocessSettings

    @property
    def classes(self) -> tuple[str, ...]:
        """Canonical labels in the order of the probabilities."""
        return tuple(self.models[0].classes)

    @property
    def kind(self) -> InputKind:
        """The kind of input of its networks."""
        return self.models[0].kind

    def __call__(
        self, scan: Source, *, landmarks: str | Path | None = None, frame: AxisConvention | None = None
    ) -> Prediction | ValuePrediction:
        """Prepare one raw scan as the run did, and predict with its networks.

        Args:
            scan: A file in any readable format, or a scan as `fer3d.formats.read` returns it. Its landmarks are used if
                the settings of the run use landmarks. For a run on pictures: a picture file, pixels as an array (H, W)
                or (H, W, 3) uint8, RGB, or a PIL picture; the face is detected in it, see `load`.
            landmarks: Landmark file of the scan. None: the pose is estimated from the shape.
            frame: Axes and unit of the file. None: +y up, +z to the camera, the unit guessed from the size.

        Raises:
            FileError, FormatError: if a file cannot be read, or is a picture and the run is on scans, or the reverse.
            PrepareError: if the scan cannot be prepared, or the picture shows no face.
            ArgumentError: if a network needs a map that the scan does not have, or `scan` is of a wrong type, shape or
                dtype.
        """
        face = self.read(scan, landmarks, frame)
        warnings = (*face.warnings, *_other_steps(self.models[0]))
        return _predicted(self.models[0], self.probabilities([face])[:, 0], warnings)

    def read(self, scan: Source, landmarks: str | Path | None, frame: AxisConvention | None) -> PreparedFace:
        """Prepare one raw scan as the run did; see `__call__`."""
        return self.kind.read(scan, self.settings, self.models[0].facts.inputs, landmarks=landmarks, frame=frame)

    def with_unit(self, unit: str | float) -> Predictor:
        """The same, for files of this unit."""
        return replace(self, settings=self.settings.model_copy(update={"unit": unit}))

    def probabilities(self, faces: Sequence[PreparedFace]) -> NDArray[np.float64]:
        """(M, N, K) float64: the probability of each class from each of the M networks, for N prepared faces.

        Raises:
            ArgumentError: if a face was not prepared as the training faces were.
        """
        import torch

        with torch.inference_mode():
            rows = [
                model.probabilities(self.kind.collate([model.from_scan(face) for face in faces])).double().cpu().numpy()
                for model in self.models
            ]
        return np.stack(rows)


@dataclass(frozen=True, eq=False)
class Ensemble:
    """The networks of several runs and their weights as one callable, from a folder of `fer3d ensemble`; see `load`.

    Attributes:
        members: The runs; each has the network of every fold, in one order of the folds.
        weights: (F, E) float64: the weight of each run in each fold, sum 1 in a fold.
    """

    members: tuple[Predictor, ...]
    weights: NDArray[np.float64]

    @property
    def models(self) -> tuple[FoldModel, ...]:
        """The networks of all runs."""
        return tuple(model for member in self.members for model in member.models)

    @property
    def settings(self) -> PreprocessSettings:
        """Settings that prepare a scan for the first run."""
        return self.members[0].settings

    @property
    def classes(self) -> tuple[str, ...]:
        """Canonical labels in the order of the probabilities."""
        return self.members[0].classes

    @property
    def kind(self) -> InputKind:
        """The kind of input of the first run."""
        return self.members[0].kind

    def with_unit(self, unit: str | float) -> Ensemble:
        """The same, for files of this unit."""
        return replace(self, members=tuple(member.with_unit(unit) for member in self.members))

    def __call__(
        self, scan: Source, *, landmarks: str | Path | None = None, frame: AxisConvention | None = None
    ) -> Prediction | ValuePrediction:
        """As `Predictor.__call__`: in each fold the weighted mean of the runs; `agreement` is over the folds.

        A scan is prepared once for all runs that prepare it alike.
        """
        faces: dict[Any, PreparedFace] = {}
        total, warnings = np.zeros(()), dict[str, None]()
        for number, member in enumerate(self.members):
            key = (member.kind.name, member.settings, tuple(member.models[0].maps))
            if key not in faces:
                faces[key] = member.read(scan, landmarks, frame)
            answers = member.probabilities([faces[key]])[:, 0]  # (F, K)
            total = total + self.weights[:, number, None] * answers
            warnings |= dict.fromkeys((*faces[key].warnings, *_other_steps(member.models[0])))
        return _predicted(self.members[0].models[0], total, tuple(warnings))


@dataclass(frozen=True)
class Row:
    """The result for one file: its prediction, or the reason why there is none."""

    path: Path
    prediction: Prediction | ValuePrediction | None
    reason: str = ""


def load(
    run: str | Path, fold: str | None = None, *, crops: bool = False, whole_picture: bool = False
) -> Predictor | Ensemble:
    """Load the trained networks of a run. No pickled code is executed.

    Args:
        run: A run folder of `fer3d train`, or one `model.safetensors`, which is self-contained; or a folder of
            `fer3d ensemble`, which names its runs.
        fold: Name of one fold, such as "r00f00". None: the mean probabilities of all finished folds.
        crops: For a run on pictures: the pictures to come are crops of faces and are used as they are, as those of some
            data sets (FER-2013). False: the face is detected, whatever the run was trained on.
        whole_picture: For a run on pictures: use the whole picture if no face is found in it. False: such a picture
            fails, whatever the run was trained on.

    Raises:
        ArgumentError: if `fold` is given with one model file, `crops` or `whole_picture` is true and the run was
            trained on scans, or both are true.
        FileError: if no fold is finished, or `fold` is not.
        FormatError: if a model file is damaged, or the folds differ in classes, maps or preprocessing; or a run of an
            ensemble is not what it was when its weights were learned.
    """
    if (Path(run) / "ensemble.json").is_file():
        from fer3d.evaluate.ensemble_folder import read_members

        members, weights = read_members(Path(run), fold)
        parts = [_predictor(paths, crops=crops, whole_picture=whole_picture) for paths in members]
        return Ensemble(tuple(parts), weights)
    return _predictor(_model_files(Path(run), fold), crops=crops, whole_picture=whole_picture)


def _predictor(paths: Sequence[Path], *, crops: bool, whole_picture: bool) -> Predictor:
    from fer3d.train.checkpoint import load_model

    models: list[FoldModel] = [load_model(path) for path in paths]
    first = models[0]
    for path, model in zip(paths[1:], models[1:], strict=True):
        for name in ("classes", "maps", "kind", "preprocess"):
            if getattr(model, name) != getattr(first, name):
                raise FormatError(
                    f"{path}: `{name}` should be that of {paths[0].parent.name}, {getattr(first, name)}, "
                    f"is {getattr(model, name)}"
                )
    known = {key: value for key, value in dict(first.preprocess).items() if key in PreprocessSettings.model_fields}
    chosen = settings(PreprocessSettings, known, str(paths[0]))
    chosen = first.kind.preprocessing(chosen, first.maps)  # skip what no network reads
    return Predictor(tuple(models), first.kind.for_pictures(chosen, crops=crops, whole_picture=whole_picture))


def predict_files(
    predictor: Predictor | Ensemble,
    paths: Iterable[Path],
    *,
    landmarks: bool = False,
    frame: AxisConvention | None = None,
) -> Iterator[Row]:
    """Predict each file; a file that fails gives a row with the reason.

    Args:
        predictor: Result of `load`.
        paths: Files, as `find_scans` lists them.
        landmarks: Whether to use the landmark file beside a scan, if there is one.
        frame: Axes and unit of all files.
    """
    for path in paths:
        try:
            marks = landmark_file(path) if landmarks else None
            yield Row(path, predictor(path, landmarks=marks, frame=frame))
        except Fer3dError as error:
            yield Row(path, None, _reason(path, str(error), predictor.kind.suffixes))
        except MemoryError:
            yield Row(path, None, "not enough memory to prepare it")
        except Exception as error:  # a bug of this package must not stop the other scans
            yield Row(path, None, internal_error(error))


def _predicted(
    model: FoldModel, probabilities: NDArray[np.float64], warnings: tuple[str, ...]
) -> Prediction | ValuePrediction:
    """What (M, K) answers to one scan say; `model` is one of those that gave them."""
    mean, target, classes = probabilities.mean(axis=0), model.facts.target, model.classes
    if target.kind != "classes":
        spread = dict(zip(classes, probabilities.std(axis=0).tolist(), strict=True))
        values = dict(zip(classes, mean.tolist(), strict=True))
        return ValuePrediction(target.name, target.kind, values, spread, warnings)
    return Prediction(
        probabilities=dict(zip(classes, mean.tolist(), strict=True)),
        agreement=float((probabilities.argmax(axis=1) == mean.argmax()).mean()),
        warnings=warnings,
    )


def _other_steps(model: FoldModel) -> tuple[str, ...]:
    """A warning if the training scans were prepared by other steps than those of this version."""
    if model.preprocess.get("steps", STEPS) == STEPS:
        return ()
    return (
        "the run was trained on scans that an earlier version prepared, which left holes in coarse meshes and cut the "
        "rim otherwise: prepare and train anew",
    )


def _model_files(run: Path, fold: str | None) -> list[Path]:
    if run.is_file():
        if fold is not None:
            raise ArgumentError(f"`fold` would change nothing: {run} holds the network of one fold")
        return [run]
    if not run.is_dir():
        raise FileError(f"{run}: is missing; `run` should be a folder of `fer3d train` or a model.safetensors")
    finished = sorted(
        path.parent / "model.safetensors" for path in run.glob("r*f*/done.json") if _is_fold(path.parent.name)
    )
    names = [path.parent.name for path in finished]
    if fold is None and not finished:
        raise FileError(f"{run}: holds no finished fold; `fer3d train --resume` goes on with it")
    if fold is not None and fold not in names:
        raise FileError(
            f"{run}: `fold` should be one of {', '.join(names) or 'none, as none is finished'}, is {fold!r}"
        )
    return [path for path in finished if fold in (None, path.parent.name)]


def _is_fold(name: str) -> bool:
    return re.fullmatch(r"r\d+f\d+", name) is not None


def _reason(path: Path, message: str, suffixes: Sequence[str]) -> str:
    """A message about `path` in one line, without the path, which the row shows."""
    if path.is_dir():
        return f"holds no file that ends in {', '.join(suffixes)}"
    return without_path(message, os.fspath(path))
