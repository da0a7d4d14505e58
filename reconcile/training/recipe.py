"""A training recipe: one committed TOML file that says how a model was made, and makes it again."""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from reconcile.errors import UsageError
from reconcile.inference.model import VERSION_FORM
from reconcile.labels import CountLabels
from reconcile.setting_errors import describe_problem

if TYPE_CHECKING:
    from pathlib import Path


class Stage(BaseModel):
    """Some epochs at one input size, under one one-cycle schedule."""

    model_config = ConfigDict(extra="forbid")

    size: int = Field(ge=32, description="side of the square input, in pixels")
    epochs: int = Field(ge=1)
    learning_rate: float = Field(gt=0, description="peak of the one-cycle schedule")


class Recipe(BaseModel):
    """Everything that decides what comes out of a training but the images themselves."""

    model_config = ConfigDict(extra="forbid")

    version: str = Field(description="version of the model, written into its ONNX file")
    labels: list[str] = ["0", "1", "2", "3", "4", "5", "6+"]
    stages: list[Stage] = Field(min_length=1)
    start_from: str | None = Field(
        default=None, description="an exported model to start from, a path seen from the recipe; else random weights"
    )
    batch_size: int = Field(default=64, ge=2, description="images a step, of all processes together")
    weight_decay: float = Field(default=0.05, ge=0)
    label_sigma: float = Field(
        default=0.6, ge=0, description="width, in items, of the Gaussian that spreads a count over its neighbours"
    )
    stitched: float = Field(
        default=0.0, ge=0, le=0.9, description="share of a batch made of two bins with few items, their counts added"
    )
    erased: float = Field(default=0.0, ge=0, le=1, description="share of the images with a small patch painted over")
    ema_decay: float = Field(default=0.998, ge=0, lt=1, description="weight averaging, per optimizer step")
    validation_fold: int = Field(default=9, ge=0, description="fold of the photos that is held out of training")
    training_share: float = Field(
        default=1.0, gt=0, le=1, description="share of the training photos to use, for a curve of accuracy against data"
    )
    drawings: int = Field(default=1000, ge=0, description="drawn bins added to the training images")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto", description="what convolutions are computed in; auto: what the machine is fast at"
    )
    seed: int = Field(default=1, ge=0)

    @field_validator("version")
    @classmethod
    def _fits_a_folder_name(cls, version: str) -> str:
        if not VERSION_FORM.fullmatch(version):
            raise ValueError("letters, digits, dots and hyphens only, and a letter or digit first: it names a folder")
        return version

    @model_validator(mode="after")
    def _labels_make_sense(self) -> Self:
        CountLabels(tuple(self.labels))
        return self

    @property
    def count_labels(self) -> CountLabels:
        """The labels with their meaning."""
        return CountLabels(tuple(self.labels))


def read_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        UsageError: it is no TOML, or a setting in it is missing, unknown or out of range.
    """
    try:
        return Recipe.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, problem['loc']))}: {describe_problem(problem)}" for problem in error.errors())
        raise UsageError(f"{path}: {'; '.join(problems)}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no TOML: {error}") from None


def write_recipe(recipe: Recipe, path: Path, comment: str) -> None:
    """Write a recipe as TOML, the comment on top; what is at its default is left out."""
    values = recipe.model_dump(exclude_defaults=True)
    stages = values.pop("stages")
    lines = [f"# {line}" for line in comment.splitlines()]
    lines += [f"{name} = {_toml(value)}" for name, value in values.items()]
    for stage in stages:
        lines += ["", "[[stages]]", *(f"{name} = {_toml(value)}" for name, value in stage.items())]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _toml(value: str | float | list[str]) -> str:
    return json.dumps(value, ensure_ascii=False)  # TOML writes these as JSON does, and no digit is lost
