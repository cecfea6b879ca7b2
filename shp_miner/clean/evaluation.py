"""What an export is screened for: evaluation sets, by name and content. It is written into manifests and cards."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from shp_miner.clean.overlap import Preset


class EvaluationFile(Struct, frozen=True):
    """A file of an evaluation set: its name without folders, the SHA-256 of its bytes, and its items.

    `too_short` items have fewer words than a text must have in common with them, and are not seen.
    """

    name: str
    sha256: str
    items: int
    too_short: int = 0


class Decontamination(Struct, frozen=True, kw_only=True):
    """The evaluation sets for which texts are screened, and how."""

    files: tuple[EvaluationFile, ...]
    columns: Annotated[
        tuple[str, ...], Meta(description="Columns of the evaluation sets to take items from; default: all texts.")
    ] = ()
    preset: Annotated[
        Preset,
        Meta(description="default (8 words in a row must be the same) or strict (13, little but quotations)."),
    ] = "default"
