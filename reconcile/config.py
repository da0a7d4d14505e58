"""One typed settings object: flags > environment (RECONCILE_*) > reconcile.toml > defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from reconcile.errors import UsageError

Device = Literal["auto", "cpu", "cuda", "tensorrt"]
LogFormat = Literal["text", "json"]


def _share(value: Any) -> Any:
    """`5%` is 0.05."""
    if isinstance(value, str) and value.strip().endswith("%"):
        try:
            return float(value.strip().removesuffix("%")) / 100
        except ValueError:
            return value
    return value


Share = Annotated[float, BeforeValidator(_share), Field(ge=0, le=1)]


class Settings(BaseSettings):
    """Everything a run can be told: each field is a flag of `reconcile run`, a variable, a line of reconcile.toml."""

    model_config = SettingsConfigDict(env_prefix="RECONCILE_", extra="forbid", env_ignore_empty=True)

    bucket: str = Field(min_length=1)
    images_prefix: str = "bin-images/"
    records_prefix: str = "metadata/"
    records: str | None = None
    records_columns: Annotated[dict[str, str], NoDecode, BeforeValidator(lambda value: _columns(value))] = {}
    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None
    no_sign_request: bool = False
    out: str = "reconcile-out"
    model: Path | None = None
    device: Device = "auto"
    batch_size: int = Field(default=32, ge=1, le=4096)
    limit: int | None = Field(default=None, ge=1)
    run_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    log_format: LogFormat = "text"
    max_unreadable: Share = 0.05
    alarm: Share | None = None

    @field_validator("records_columns")
    @classmethod
    def _known_columns(cls, columns: dict[str, str]) -> dict[str, str]:
        unknown = set(columns) - {"bin_id", "expected_quantity"}
        if unknown:
            raise ValueError(f"maps {', '.join(sorted(unknown))}; only bin_id and expected_quantity can be mapped")
        return columns

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The order in which a value is looked for."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, _config_file)


_config_file = Path("reconcile.toml")


def load_settings(flags: dict[str, Any]) -> Settings:
    """Put the settings together; `flags` holds the flags given, None for each that was not.

    Raises:
        UsageError: a value is missing, malformed or out of range; the message names the flag.

    """
    import tomllib

    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        raise UsageError("; ".join(_explain(dict(problem)) for problem in error.errors())) from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"reconcile.toml cannot be read: {error}") from None


def _explain(problem: dict[str, Any]) -> str:
    name = str(problem["loc"][0])
    flag = f"--{name.replace('_', '-')}"
    if problem["type"] == "missing":
        return f"{flag} is missing (or RECONCILE_{name.upper()}, or `{name}` in reconcile.toml)"
    if problem["type"] == "extra_forbidden":
        return f"reconcile.toml has a setting that does not exist: {name}"
    return f"{flag}: {problem['msg'].removeprefix('Value error, ')} (got {problem['input']!r})"


def _columns(value: Any) -> Any:
    """`bin_id=LOCATION,expected_quantity=QTY` as a dictionary."""
    if not isinstance(value, str):
        return value
    pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
    if any(not separator or not column.strip() for _, separator, column in pairs):
        raise ValueError("expected bin_id=COLUMN,expected_quantity=COLUMN")
    return {ours.strip(): column.strip() for ours, _, column in pairs}
