"""The components of FLM-CNN that an ablation switches off, which networks on trees have as settings."""

from __future__ import annotations

from fer3d.config import NetworkSettings
from fer3d.errors import ArgumentError

PARTS = ("mes", "hvp", "tree")


def part_variants(settings: NetworkSettings) -> dict[tuple[str, ...], NetworkSettings]:
    """The settings with none of the components, all but one, and all. ArgumentError if `settings` lack one."""
    for part in PARTS:
        if not getattr(settings, part):
            raise ArgumentError(f"`model.{part}` would change nothing: the ablation switches it on and off")
    kept = [(), *(tuple(part for part in PARTS if part != out) for out in PARTS), PARTS]
    return {parts: settings.model_copy(update={part: part in parts for part in PARTS}) for parts in kept}
