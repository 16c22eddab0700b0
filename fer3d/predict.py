"""Raw scans or pictures in, expressions out: a run's own preprocessing and networks, on files it has never seen."""

from __future__ import annotations

import math
import os
import re
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fer3d import formats
from fer3d.config import PreprocessSettings, settings
from fer3d.errors import Fer3dError, FileError, FormatError
from fer3d.formats import pictures
from fer3d.formats.find import landmark_file
from fer3d.formats.pictures import is_picture
from fer3d.prepare.scan import FileFrame, prepare_with_tree
from fer3d.scan import Scan

if TYPE_CHECKING:
    from fer3d.data.samples import InputNormalisation
    from fer3d.maps.render import Maps
    from fer3d.tree.sample_tree import SampleTree

# Fitted to one run: of 720 simulated strangers 49 % were right between 0.5 and 0.6, 70 % between 0.6 and 0.7. How sure
# a run is depends on what it was trained on: of one trained on 12 people, 74 % of what is flagged (84 of 114) is right
# all the same, and all 42 that are not flagged (benchmarks/results/thresholds.md).
LOW_CONFIDENCE = 0.6
SPLIT = 0.5  # of the fold models: fewer than half of them have the label as their first guess


class FoldModel(Protocol):
    """What `predict` needs of one trained network; `fer3d.train.checkpoint.LoadedModel` is one."""

    @property
    def classes(self) -> Sequence[str]:
        """K house labels."""

    @property
    def reads_trees(self) -> bool:
        """Whether it is fed sample trees; else maps."""

    @property
    def maps(self) -> Sequence[str]:
        """Map groups that it is fed."""

    @property
    def pixel_mm(self) -> float | None:
        """Width of a pixel of those maps."""

    @property
    def normalisation(self) -> InputNormalisation:
        """Means of its input."""

    @property
    def preprocess(self) -> Mapping[str, Any]:
        """Settings that its scans were prepared with."""

    def prepare_input(self, maps: Maps) -> Any:
        """Maps -> tensor of one scan."""

    def prepare_tree(self, scan: Scan, tree: SampleTree) -> Any:
        """Prepared scan and its tree -> batch of one scan."""

    def probabilities(self, batch: Any) -> Any:
        """Batch of B scans -> (B, K) tensor."""


@dataclass(frozen=True)
class Prediction:
    """What a run takes a scan for.

    Attributes:
        probabilities: House label -> probability, the mean over the fold models.
        agreement: Share of the fold models whose first guess is `label`.
        warnings: What the reader and the preprocessing had to say of the scan.
    """

    probabilities: Mapping[str, float]
    agreement: float
    warnings: tuple[str, ...] = ()

    @property
    def ranking(self) -> list[str]:
        """Labels, the likeliest first."""
        return sorted(self.probabilities, key=lambda name: -self.probabilities[name])

    @property
    def label(self) -> str:
        """The likeliest."""
        return self.ranking[0]

    @property
    def second(self) -> str:
        """The second likeliest."""
        return self.ranking[1]

    @property
    def confidence(self) -> float:
        """Probability of `label`."""
        return self.probabilities[self.label]

    @property
    def entropy(self) -> float:
        """Entropy of the probabilities as a share of the largest possible: 0 certain, 1 no idea."""
        bits = -sum(p * math.log(p) for p in self.probabilities.values() if p > 0)
        return bits / math.log(len(self.probabilities))

    @property
    def note(self) -> str:
        """Why not to rely on it, or ""."""
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
class Predictor:
    """The networks of a run behind one call. `load` makes it.

    Attributes:
        models: One a fold, of the same classes, maps and preprocessing.
        settings: How a scan is prepared for them.
    """

    models: tuple[FoldModel, ...]
    settings: PreprocessSettings

    @property
    def classes(self) -> tuple[str, ...]:
        """House labels in the order of the probabilities."""
        return tuple(self.models[0].classes)

    @property
    def reads_pictures(self) -> bool:
        """Whether its networks were trained on pictures; else on scans."""
        from fer3d.prepare.picture import pixel_of

        model = self.models[0]
        pixel = model.pixel_mm
        return tuple(model.maps) == ("texture",) and pixel is not None and pixel == pixel_of(self.settings.size)

    def __call__(
        self, scan: Scan | str | Path, *, landmarks: str | Path | None = None, frame: FileFrame | None = None
    ) -> Prediction:
        """Take one raw scan through the run's preprocessing and its networks.

        Args:
            scan: A file of any readable format, or a scan as `fer3d.formats.read` gives it. Landmarks on it are used
                if the settings of the run use any. For a run on pictures, a picture: its face is looked for.
            landmarks: Its landmark file. None: the pose comes from the shape.
            frame: Axes and unit of the file. None: +y up, +z to the camera, the unit guessed from the size.

        Raises:
            FileError, FormatError: if a file cannot be read, or is a picture and the run is of scans, or the reverse.
            PrepareError: if the scan cannot be prepared, or no face is found in the picture.
            ArgumentError: if a network needs a map that the scan does not give.
        """
        if self.reads_pictures or (not isinstance(scan, Scan) and is_picture(scan)):
            return self._of_picture(scan)
        raw = scan if isinstance(scan, Scan) else formats.read(scan, texture="texture" in self.settings.maps)
        if landmarks is not None:
            points = formats.read_landmarks(landmarks)
            raw = raw.step("landmarks", {"file": Path(landmarks).name, "count": len(points)}, landmarks=points)
        chosen = self.settings
        if chosen.pose == "landmarks" and not raw.landmarks:
            raw = raw.warn("posed by its shape, while the run's scans were posed by landmarks")
            chosen = chosen.model_copy(update={"pose": "shape"})
        prepared, made, tree = prepare_with_tree(raw, chosen, frame=frame)
        blind: tuple[str, ...] = ()
        if tree is not None:
            probabilities = self.probabilities_of_tree(prepared, tree)  # (M, K)
        else:
            made, blind = self._with_texture(made)
            probabilities = self.probabilities(made)
        return self._prediction(probabilities, (*prepared.warnings, *blind))

    def _of_picture(self, picture: Scan | str | Path) -> Prediction:
        from fer3d.prepare.picture import picture_maps

        if isinstance(picture, Scan) or not is_picture(picture):
            name = "`scan`" if isinstance(picture, Scan) else picture
            raise FormatError(f"{name}: wanted a picture, as the run was trained on pictures, got a scan")
        if not self.reads_pictures:
            raise FormatError(f"{picture}: wanted a scan, as the run was trained on scans, got a picture")
        maps, warnings = picture_maps(Path(picture), self.settings)
        return self._prediction(self.probabilities(maps), warnings)

    def _prediction(self, probabilities: NDArray[np.float64], warnings: tuple[str, ...]) -> Prediction:
        mean = probabilities.mean(axis=0)
        return Prediction(
            probabilities=dict(zip(self.classes, mean.tolist(), strict=True)),
            agreement=float((probabilities.argmax(axis=1) == mean.argmax()).mean()),
            warnings=warnings,
        )

    def probabilities(self, maps: Maps) -> NDArray[np.float64]:
        """(M, K): what each of the M networks gives each class, for one scan's maps."""
        return self._probabilities(lambda model: model.prepare_input(maps)[None])

    def probabilities_of_tree(self, scan: Scan, tree: SampleTree) -> NDArray[np.float64]:
        """(M, K): what each of the M networks gives each class, for one prepared scan's tree."""
        return self._probabilities(lambda model: model.prepare_tree(scan, tree))

    def _probabilities(self, batch_for: Callable[[FoldModel], Any]) -> NDArray[np.float64]:
        import torch

        with torch.inference_mode():
            rows = [model.probabilities(batch_for(model))[0].double().cpu().numpy() for model in self.models]
        return np.stack(rows)

    def _with_texture(self, maps: Maps) -> tuple[Maps, tuple[str, ...]]:
        """The maps, with the mean colour of training for a texture that is needed and that the scan does not have."""
        if "texture" not in self.settings.maps or maps.texture is not None:
            return maps, ()
        from fer3d.data.channels import INPUT_CHANNELS

        means = dict(zip(self.models[0].normalisation.channels, self.models[0].normalisation.mean, strict=True))
        colour = [round(255 * means[name]) for name in INPUT_CHANNELS["texture"]]
        even = np.where(maps.mask[..., None] > 0, np.array(colour), 0).astype(np.uint8)  # (H, W, 3)
        return replace(maps, texture=even), ("no texture: its branch saw the mean colour of the training scans",)


@dataclass(frozen=True)
class Row:
    """One file of a batch: its prediction, or the reason why there is none."""

    path: Path
    prediction: Prediction | None
    reason: str = ""


def load(run: str | Path, fold: str | None = None) -> Predictor:
    """The trained networks of a run, ready to call. No pickled code is run.

    Args:
        run: A run folder of `fer3d train`, or one `model.safetensors`, which is complete in itself.
        fold: Name of one fold, such as "r00f00". None: all finished folds, whose probabilities are averaged.

    Raises:
        FileError: if there is no finished fold, or not this one.
        FormatError: if a model file is damaged, or the folds differ in classes, maps or preprocessing.
    """
    from fer3d.train.checkpoint import load_model

    paths = _model_files(Path(run), fold)
    models: list[FoldModel] = [load_model(path) for path in paths]
    first = models[0]
    for path, model in zip(paths[1:], models[1:], strict=True):
        for name in ("classes", "maps", "reads_trees", "preprocess"):
            if getattr(model, name) != getattr(first, name):
                raise FormatError(
                    f"{path}: `{name}` should be that of {paths[0].parent.name}, {getattr(first, name)}, "
                    f"is {getattr(model, name)}"
                )
    known = {key: value for key, value in dict(first.preprocess).items() if key in PreprocessSettings.model_fields}
    chosen = settings(PreprocessSettings, known, str(paths[0]))
    # what no network reads would be made for nothing; depth, the cheapest, is always made
    chosen = chosen.model_copy(update={"maps": tuple(first.maps) or ("depth",), "tree": first.reads_trees})
    return Predictor(tuple(models), chosen)


def predict_files(
    predictor: Predictor, paths: Iterable[Path], *, landmarks: bool = False, frame: FileFrame | None = None
) -> Iterator[Row]:
    """Predict file after file. One that fails is a row with its reason.

    Args:
        predictor: What `load` gave.
        paths: Files, as `find_scans` lists them.
        landmarks: Whether to use the landmark file beside a scan, where there is one.
        frame: Axes and unit of all files.
    """
    of_pictures = predictor.reads_pictures
    for path in paths:
        try:
            beside = landmark_file(path) if landmarks else None
            yield Row(path, predictor(path, landmarks=beside, frame=frame))
        except Fer3dError as error:
            yield Row(path, None, _reason(path, str(error), pictures.SUFFIXES if of_pictures else formats.SUFFIXES))
        except MemoryError:
            yield Row(path, None, "not enough memory to prepare it")
        except Exception as error:  # a bug of ours: it may cost this scan, not the others
            where = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(where.filename).name}:{where.lineno}"
            yield Row(path, None, f"internal error at {place}, {type(error).__name__}: {error}")


def _model_files(run: Path, fold: str | None) -> list[Path]:
    if run.is_file():
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


def _reason(path: Path, message: str, suffixes: Sequence[str] = formats.SUFFIXES) -> str:
    """A message about `path` on one line, without the path that stands beside it anyhow."""
    if path.is_dir():
        return f"holds no file that ends in {', '.join(suffixes)}"
    return " ".join(message.split()).removeprefix(f"{os.fspath(path)}: ")
