"""A training recipe: one committed TOML file that says how a model was made, and makes it again."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reconcile.errors import UsageError
from reconcile.labels import CountLabels

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
    labels: list[str]
    stages: list[Stage] = Field(min_length=1)
    batch_size: int = Field(default=64, ge=2)
    weight_decay: float = Field(default=0.05, ge=0)
    label_sigma: float = Field(
        default=0.6, ge=0, description="width, in items, of the Gaussian that spreads a label over its neighbours"
    )
    ema_decay: float = Field(default=0.998, ge=0, lt=1, description="weight averaging, per optimizer step")
    validation_fold: int = Field(default=9, description="fold of labels.csv that is held out of training")
    drawings: int = Field(default=1000, ge=0, description="drawn bins added to the training images")
    seed: int = 1

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
        problems = (f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors())
        raise UsageError(f"{path}: {'; '.join(problems)}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no TOML: {error}") from None
