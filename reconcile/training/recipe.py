"""Training recipes: a TOML file that states how a model is trained, so that it can be trained again."""

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


TORCHVISION = "torchvision:"
"""A `start_from` that begins with this names weights that torchvision publishes."""


class Stage(BaseModel):
    """Some epochs at one input size, with one one-cycle schedule (Smith and Topin 2019, Super-Convergence)."""

    model_config = ConfigDict(extra="forbid")

    size: int = Field(ge=32, description="side of the square input, in pixels")
    epochs: int = Field(ge=1)
    learning_rate: float = Field(gt=0, description="peak of the one-cycle schedule")


class Recipe(BaseModel):
    """Everything that decides the result of a training, except for the images."""

    model_config = ConfigDict(extra="forbid")

    version: str = Field(description="version of the model, written into its ONNX file")
    labels: list[str] = ["0", "1", "2", "3", "4", "5", "6+"]
    stages: list[Stage] = Field(min_length=1)
    start_from: str | None = Field(
        default=None,
        description="weights to start from: a file relative to the recipe, or torchvision:IMAGENET1K_V1; "
        "default: random weights",
    )
    batch_size: int = Field(default=64, ge=2, description="images per step, of all processes together")
    weight_decay: float = Field(default=0.05, ge=0)
    label_sigma: float = Field(
        default=0.6, ge=0, description="width, in items, of the Gaussian that spreads a count over its neighbours"
    )
    stitched: float = Field(
        default=0.0,
        ge=0,
        le=0.9,
        description="fraction of a batch that joins two bins with few items and adds their counts",
    )
    erased: float = Field(default=0.0, ge=0, le=1, description="fraction of the images with a small patch painted over")
    ema_decay: float = Field(
        default=0.998, ge=0, lt=1, description="decay of the moving average of the weights, per step"
    )
    validation_fold: int = Field(default=9, ge=0, description="fold of the photos that is held out")
    training_share: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="fraction of the training photos to use, to measure accuracy against their number",
    )
    drawings: int = Field(default=1000, ge=0, description="number of drawn bins among the training images")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto", description="dtype of the convolutions; auto: one that the machine computes fast"
    )
    seed: int = Field(default=1, ge=0)

    @field_validator("version")
    @classmethod
    def _fits_a_folder_name(cls, version: str) -> str:
        if not VERSION_FORM.fullmatch(version):
            raise ValueError("expected letters, digits, dots and hyphens only, with a letter or digit first")
        return version

    @model_validator(mode="after")
    def _labels_make_sense(self) -> Self:
        CountLabels(tuple(self.labels))
        return self

    @property
    def count_labels(self) -> CountLabels:
        """The labels as `CountLabels`."""
        return CountLabels(tuple(self.labels))


def read_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        UsageError: the file is not valid TOML, or a setting is missing, unknown or out of range.
    """
    try:
        return Recipe.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, problem['loc']))}: {describe_problem(problem)}" for problem in error.errors())
        raise UsageError(f"{path}: {'; '.join(problems)}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from None


def write_recipe(recipe: Recipe, path: Path, comment: str) -> None:
    """Write a recipe as TOML, without the settings that have their default.

    Args:
        recipe: the recipe.
        path: the file to write.
        comment: the comment at the top of the file, of one or more lines.
    """
    values = recipe.model_dump(exclude_defaults=True)
    stages = values.pop("stages")
    lines = [f"# {line}" for line in comment.splitlines()]
    lines += [f"{name} = {_toml(value)}" for name, value in values.items()]
    for stage in stages:
        lines += ["", "[[stages]]", *(f"{name} = {_toml(value)}" for name, value in stage.items())]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _toml(value: str | float | list[str]) -> str:
    return json.dumps(
        value, ensure_ascii=False
    )  # for these types TOML and JSON have the same form, and JSON keeps all digits
