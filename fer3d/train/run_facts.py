"""The JSON files of a run folder as types, which `fer3d.files.read_json` checks."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Annotated, Any, NotRequired

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

TRAIN_AGAIN = "train the run again in another folder"
REGATHER = "`fer3d train --resume` writes it anew from the finished folds"
AUDIT_AGAIN = "delete it, or write it anew with `fer3d audit`"
POSE_AGAIN = "delete it, or write it anew with `fer3d evaluate --pose-test`"
RESUME = "delete the folder of this fold and go on with `fer3d train --resume`"

_OPEN = ConfigDict(extra="allow")  # earlier and later versions have more keys
_Count = Annotated[int, Field(ge=0, lt=2**31)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Learned = dict[str, Annotated[float, Field(allow_inf_nan=False, ge=-1e9, le=1e9)]]
_Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class DataFacts(TypedDict):
    """The prepared folder that a run was trained on."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]

    folder: NotRequired[str]
    dataset: NotRequired[str | None]
    manifest_sha256: NotRequired[str]
    simulated: NotRequired[bool]
    preprocess: NotRequired[dict[str, Any]]
    test: NotRequired[dict[str, Any]]


class ProtocolNotes(TypedDict):
    """The protocol of a run."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]

    name: NotRequired[str]
    notes: NotRequired[list[str]]


class RunFacts(TypedDict):
    """The content of run.json."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]

    model: str
    classes: Annotated[list[str], Field(min_length=1)]
    maps: list[str]
    data: DataFacts
    protocol: ProtocolNotes
    settings: dict[str, Any]
    recipe: NotRequired[dict[str, Any]]
    target: NotRequired[dict[str, Any] | None]
    model_settings: NotRequired[dict[str, Any]]
    versions: NotRequired[dict[str, Any]]
    fer3d: NotRequired[str]
    device: NotRequired[str]
    started: NotRequired[str]
    seconds: NotRequired[_Seconds | None]
    learned: NotRequired[_Learned]


class FoldFacts(TypedDict):
    """One (round, fold) of folds.json: the subjects of its parts."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]

    round: _Count
    fold: _Count
    train: NotRequired[list[str] | None]
    validation: NotRequired[list[str] | None]
    test: list[str]


class DoneFacts(TypedDict):
    """The content of a fold's done.json."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]

    seconds: _Seconds
    parameters: NotRequired[_Count]
    epochs: NotRequired[_Count]
    peak_mib: NotRequired[_Seconds | None]
    scan_bytes: NotRequired[_Count]
    scan_ms: NotRequired[_Seconds]
    learned: NotRequired[_Learned]


class Span(TypedDict):
    """A number with its interval; None where undefined."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]

    value: _Share | None
    low: _Share | None
    high: _Share | None


class PosePoints(TypedDict):
    """One point of a curve of pose_test.json."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]

    kind: str
    yaw_deg: Annotated[float, Field(ge=-180, le=180)]
    scans: _Count
    failed: NotRequired[_Count]
    accuracy: Span


class PoseFacts(TypedDict):
    """The content of pose_test.json that a report draws."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]

    frontal: _Share
    points: list[PosePoints]
    reason: NotRequired[str]


class AuditCheck(TypedDict):
    """One check of audit.json."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]

    check: str
    title: str
    verdict: str
    detail: str
    needs: str
    examples: list[str]


class AuditFacts(TypedDict):
    """The content of audit.json that a report shows."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]

    found: _Count
    checks: list[AuditCheck]
    predictions_sha256: str


def mean_learned(done: Sequence[DoneFacts]) -> dict[str, float]:
    """The mean over folds of what their networks learned, see `fer3d.models.network.Network.learned`, by name."""
    names = dict.fromkeys(name for entry in done for name in entry.get("learned", {}))
    return {name: round(fmean(e["learned"][name] for e in done if name in e.get("learned", {})), 6) for name in names}
