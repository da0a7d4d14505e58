"""One typed settings object: flags > environment (RECONCILE_*) > reconcile.toml > defaults."""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from reconcile.errors import DEBUG, UsageError
from reconcile.logs import LogFormat
from reconcile.output.run_ids import RUN_ID_FORM
from reconcile.setting_errors import describe_problem
from reconcile.storage.base import S3Access
from reconcile.urls import WEB_ADDRESS, WITH_SECRETS, holds_secrets, is_web_address

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


Device = Literal["auto", "cpu", "cuda", "tensorrt"]
EngineName = Literal["local", "ray", "sagemaker"]
RankBy = Literal["probability", "units", "value"]
RECORD_ERROR_RATE = 0.03
"""The share of records taken to be wrong before any photo is looked at, and any recount is known."""


def _fraction(value: Any) -> Any:
    """`5%` is 0.05."""
    try:
        text = str(value).strip()
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ValueError("expected a share such as 5% or 0.05")
    return share


Fraction = Annotated[float, BeforeValidator(_fraction), Field(description="0 to 1")]


class Settings(BaseSettings):
    """Everything a run can be told: each field is a flag of `reconcile run`, a variable, a line of reconcile.toml."""

    model_config = SettingsConfigDict(env_prefix="RECONCILE_", extra="forbid", env_ignore_empty=True)

    bucket: str = ""
    images_prefix: str = "bin-images/"
    records_prefix: str = "metadata/"
    keys: str | None = None
    records: str | None = None
    records_columns: Annotated[dict[str, str], NoDecode, BeforeValidator(lambda value: _columns(value))] = {}
    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None
    no_sign_request: bool = False
    out: str = "reconcile-out"
    model: Path | None = None
    device: Device = "auto"
    batch_size: int | None = Field(default=None, ge=1, le=4096)
    engine: EngineName = "local"
    image_uri: str | None = None
    role: str | None = None
    instance_type: str | None = None
    instance_count: int = Field(default=1, ge=1)
    sagemaker_options: Path | None = None
    ray_address: str | None = None
    ray_gpus_per_actor: float | None = Field(default=None, gt=0, le=1)
    limit: int | None = Field(default=None, ge=1)
    run_id: str | None = None
    log_format: LogFormat = "text"
    max_unreadable: Fraction = 0.05
    max_invalid: Fraction = 0.05
    alarm: Fraction | None = None
    record_error_rate: Fraction = Field(default=RECORD_ERROR_RATE, gt=0, lt=1)
    capacity: int = Field(default=100, ge=1, le=1_000_000)
    rank_by: RankBy = "probability"
    costs: str | None = None
    tolerance: int = Field(default=0, ge=0)
    where: str | None = None
    stale_after: float | None = Field(default=None, ge=0, le=1_000_000)

    @field_validator("*", mode="before")
    @classmethod
    def _only_switches_are_on_or_off(cls, value: Any, info: ValidationInfo) -> Any:
        """To pydantic, true is the number 1."""
        if isinstance(value, bool) and info.field_name != "no_sign_request":
            raise ValueError("expected no true or false")
        return value

    @field_validator("run_id")
    @classmethod
    def _fits_a_folder_name(cls, run_id: str | None) -> str | None:
        if run_id is not None and not RUN_ID_FORM.fullmatch(run_id):
            raise ValueError(
                "expected at most 100 letters, digits, dots, hyphens and underscores, a letter or digit first"
            )
        return run_id

    @field_validator("endpoint_url")
    @classmethod
    def _plain_url(cls, url: str | None) -> str | None:
        if url is None:
            return None
        if not is_web_address(url):
            raise ValueError(WEB_ADDRESS)
        if holds_secrets(url):
            raise ValueError(WITH_SECRETS)
        return url

    @field_validator("bucket", "out", "keys", "records", "costs")
    @classmethod
    def _no_web_address(cls, location: str | None) -> str | None:
        if location is not None and location.lower().startswith(("http://", "https://")):
            raise ValueError("is a web address; expected s3://…, or a place on this machine")
        return location

    @field_validator("where")
    @classmethod
    def _names_a_part(cls, pattern: str | None) -> str | None:
        if pattern is None:
            return None
        try:
            names = re.compile(pattern).groupindex
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None
        if not names:
            raise ValueError("names no part of the bin id; write (?P<aisle>...) around it")
        return pattern

    @model_validator(mode="after")
    def _value_needs_costs(self) -> Self:
        if self.rank_by == "value" and self.costs is None:
            raise UsageError("--rank-by value needs --costs FILE with the columns asin and unit_cost")
        return self

    @field_validator("records_columns")
    @classmethod
    def _known_columns(cls, columns: dict[str, str]) -> dict[str, str]:
        unknown = set(columns) - {"bin_id", "expected_quantity", "changed_at"}
        if unknown:
            known = "bin_id, expected_quantity and changed_at"
            raise ValueError(f"maps {', '.join(sorted(unknown))}; only {known} can be mapped")
        return columns

    @property
    def columns_of_table(self) -> dict[str, str]:
        """`records_columns`, and when a record changed, where that is to be looked at."""
        changes = {} if self.stale_after is None else {"changed_at": "changed_at"}
        return changes | self.records_columns

    def s3_access(self) -> S3Access:
        """Return how to reach the bucket and the other inputs."""
        return S3Access(self.endpoint_url, self.region, self.profile, self.no_sign_request)

    def output_access(self) -> S3Access:
        """Return how to reach `<out>`. Unlike the bucket, `<out>` is never read without credentials."""
        return S3Access(self.endpoint_url, self.region, self.profile)

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
_PREFIX = "RECONCILE_"
_SLIP = 0.75
"""How alike a name has to be to a setting's (difflib's ratio) to be a slip of it: BUKET is 0.91, PORT 0.57."""


class _FlagsAlone(Settings):
    """Settings that neither the environment nor a file has a say in."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags and defaults."""
        return (init_settings,)


def load_settings(flags: dict[str, Any], *, alone: bool = False, need_bucket: bool = True) -> Settings:
    """Put the settings together.

    Args:
        flags: the flags given, None for each that was not.
        alone: leave environment and file out of it.
        need_bucket: whether it is an error to name no bucket.

    Raises:
        UsageError: a value is missing, malformed or out of range; the message names the flag. Or a variable of the
            environment is named almost as a setting.
    """
    import tomllib

    if not alone:
        _refuse_slips()
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        settings = _FlagsAlone(**given) if alone else Settings(**given)
    except ValidationError as error:
        raise UsageError("; ".join(_explain(problem, given) for problem in error.errors())) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        hint = "; between single quotes a backslash is one" if "\\" in str(error) else ""
        raise UsageError(f"{_config_file} cannot be read: {error}{hint}") from None
    if need_bucket and not settings.bucket:
        raise UsageError(f"--bucket is missing (or RECONCILE_BUCKET, or `bucket` in {_config_file})")
    return settings


def unknown_variables() -> list[str]:
    """Variables of the environment that begin with RECONCILE_ and are no setting, in alphabetical order.

    They are worth a warning and no more: Kubernetes, say, sets RECONCILE_SERVICE_HOST for a service of that name.
    """
    known = {_PREFIX + name.upper() for name in Settings.model_fields} | {DEBUG}
    return sorted(name for name in os.environ if name.upper().startswith(_PREFIX) and name.upper() not in known)


def _refuse_slips() -> None:
    """A variable that is almost a setting is a slip: without it the run would do something else than was meant."""
    for name in unknown_variables():
        meant = get_close_matches(name[len(_PREFIX) :].lower(), Settings.model_fields, n=1, cutoff=_SLIP)
        if meant:
            raise UsageError(f"{name} is no setting; {_PREFIX}{meant[0].upper()} is")


def _explain(problem: ErrorDetails, flags: dict[str, Any]) -> str:
    """Named as it was set: the flag, the variable or the line of the file."""
    name, *inside = map(str, problem["loc"])
    if problem["type"] == "extra_forbidden":
        meant = get_close_matches(name.lower().replace("-", "_"), Settings.model_fields, n=1)
        hint = f"; is {meant[0]} meant?" if meant else ""
        return f"{_config_file} has a setting that does not exist: {name}{hint}"
    variable = next(
        (known for known in os.environ if known.upper() == _PREFIX + name.upper() and os.environ[known]), None
    )
    place = f"--{name.replace('_', '-')}" if name in flags else variable or name
    file = "" if name in flags or variable else f" in {_config_file}"
    return f"{' '.join([place, *inside])}{file}: {describe_problem(problem)}"


def _columns(value: Any) -> Any:
    """`bin_id=LOCATION,expected_quantity=QTY` as a dictionary."""
    if not isinstance(value, str):
        return value
    pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
    if any(not separator or not column.strip() for _, separator, column in pairs):
        raise ValueError("expected bin_id=COLUMN,expected_quantity=COLUMN,changed_at=COLUMN, or some of these")
    return {ours.strip(): column.strip() for ours, _, column in pairs}


def parse_rate(text: str) -> float:
    """What `--plant` was given, `8%` or `0.08`, as a share over 0 and under 1.

    Raises:
        UsageError: it is none.
    """
    try:
        rate: float = TypeAdapter(Fraction).validate_python(text)
    except ValidationError:
        rate = 0.0
    if not 0 < rate < 1:
        raise UsageError(f"--plant: expected a share over 0% and under 100%, such as 8% or 0.08 (got {text!r})")
    return rate
