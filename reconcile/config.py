"""Settings: flags > environment (RECONCILE_*) > reconcile.toml > defaults."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import (
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from reconcile.errors import UsageError
from reconcile.logs import LogFormat
from reconcile.output.run_ids import RUN_ID_FORM
from reconcile.setting_errors import describe_problem
from reconcile.setting_types import (
    Aggregate,
    Columns,
    DecimalMarkOrSign,
    Device,
    EngineName,
    Fraction,
    Pattern,
    RankBy,
    RecountFormat,
)
from reconcile.storage.base import S3Access
from reconcile.urls import (
    WEB_ADDRESS,
    WITH_SECRETS,
    has_scheme,
    holds_secrets,
    is_web_address,
    may_hold_secret,
    normalize_location,
)
from reconcile.variables import DEBUG, RECOUNT_TOKEN, SERVE_BUCKETS, SERVE_TOKEN

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


_LOCATIONS = ("bucket", "out", "keys", "records", "costs")
RECORD_ERROR_RATE = 0.03
"""The prior probability that a record is wrong, until verdicts are imported."""


class Settings(BaseSettings):
    """The settings of a run.

    Each field is an option of `reconcile run`, a variable RECONCILE_… and a line of reconcile.toml.
    `cli/options.py` describes each field.
    """

    model_config = SettingsConfigDict(env_prefix="RECONCILE_", extra="forbid", env_ignore_empty=True)

    bucket: str = ""
    images_prefix: str = "bin-images/"
    records_prefix: str = "metadata/"
    keys: str | None = None
    records: str | None = None
    records_columns: Columns = {}
    records_aggregate: Aggregate | None = None
    records_decimal: DecimalMarkOrSign | None = None
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
    max_blank: Fraction | None = None
    alarm: Fraction | None = None
    record_error_rate: Fraction = Field(default=RECORD_ERROR_RATE, gt=0, lt=1)
    capacity: int = Field(default=100, ge=1, le=1_000_000)
    rank_by: RankBy = "probability"
    costs: str | None = None
    recount_format: RecountFormat = "csv"
    tolerance: int = Field(default=0, ge=0)
    where: Pattern | None = None
    stale_after: float | None = Field(default=None, ge=0, le=1_000_000)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_booleans(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse true and false except for `no_sign_request`, because pydantic reads true as the number 1."""
        if isinstance(value, bool) and info.field_name != "no_sign_request":
            raise ValueError("cannot be true or false")
        return value

    @field_validator("run_id")
    @classmethod
    def _check_run_id(cls, run_id: str | None) -> str | None:
        if run_id is not None and not RUN_ID_FORM.fullmatch(run_id):
            raise ValueError(
                "expected at most 100 letters, digits, dots, hyphens and underscores, with a letter or digit first"
            )
        return run_id

    @field_validator("endpoint_url")
    @classmethod
    def _check_endpoint_url(cls, url: str | None) -> str | None:
        if url is None:
            return None
        if not is_web_address(url):
            raise ValueError(WEB_ADDRESS)
        if holds_secrets(url):
            raise ValueError(WITH_SECRETS)
        return url

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_secrets(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse passwords and signatures, because settings appear in logs and reports."""
        if info.field_name not in _LOCATIONS and isinstance(value, str | Path) and may_hold_secret(str(value)):
            raise ValueError(WITH_SECRETS)
        return value

    @field_validator("model", "sagemaker_options", mode="before")
    @classmethod
    def _refuse_scheme(cls, path: Any) -> Any:
        if path is not None and has_scheme(str(path)):
            raise ValueError("expected a path on this machine")
        return path

    @field_validator(*_LOCATIONS)
    @classmethod
    def _normalize_location(cls, location: str | None) -> str | None:
        return None if location is None else normalize_location(location)

    @model_validator(mode="after")
    def _check_costs(self) -> Self:
        if self.rank_by == "value" and self.costs is None:
            raise UsageError("--rank-by value needs --costs FILE with the columns asin and unit_cost")
        return self

    @property
    def columns_of_table(self) -> dict[str, str]:
        """Return `records_columns`, with the column of the time of change if `stale_after` needs that column.

        The quantity of a row is in `expected_quantity`, also if it is the quantity of a product.
        """
        changes = {} if self.stale_after is None else {"changed_at": "changed_at"}
        same = {"product_quantity": "expected_quantity"}
        return changes | {same.get(ours, ours): column for ours, column in self.records_columns.items()}

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
        """Return the sources of values. The first source that has a value is used."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, _config_file)


_config_file = Path("reconcile.toml")
_PREFIX = "RECONCILE_"
_OF_SERVER = (SERVE_TOKEN, SERVE_BUCKETS, RECOUNT_TOKEN)
_TYPO_SIMILARITY = 0.75
"""The smallest ratio of difflib at which a name counts as a misspelled setting. BUKET has 0.91, PORT has 0.57."""


class _FlagsOnly(Settings):
    """Settings that ignore the environment and reconcile.toml."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the flags as the only source. All other settings keep their defaults."""
        return (init_settings,)


def load_settings(flags: dict[str, Any], *, flags_only: bool = False, need_bucket: bool = True) -> Settings:
    """Return the settings from flags, environment, reconcile.toml and defaults.

    Args:
        flags: a value for each option, None if the option was not given.
        flags_only: ignore the environment and reconcile.toml.
        need_bucket: require a bucket.

    Raises:
        UsageError: a value is missing, malformed or out of range; the message names the flag, variable or line.
            Or the name of a variable is almost that of a setting.
    """
    import tomllib

    if not flags_only:
        _refuse_misspelled_variables()
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        settings = _FlagsOnly(**given) if flags_only else Settings(**given)
    except ValidationError as error:
        raise UsageError("; ".join(_describe(problem, given) for problem in error.errors())) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        hint = "; write text with a backslash in single quotes" if "\\" in str(error) else ""
        raise UsageError(f"{_config_file} cannot be read: {error}{hint}") from None
    if need_bucket and not settings.bucket:
        raise UsageError(f"--bucket is missing; give it, RECONCILE_BUCKET, or `bucket` in {_config_file}")
    return settings


def unknown_variables() -> list[str]:
    """Return the environment variables that start with RECONCILE_ but are not settings, in alphabetical order.

    They deserve a warning, not an error: Kubernetes sets RECONCILE_SERVICE_HOST if a service is called `reconcile`.
    """
    known = {*map(_variable_of, Settings.model_fields), *_OF_SERVER, DEBUG}
    return sorted(name for name in os.environ if name.upper().startswith(_PREFIX) and name.upper() not in known)


def _refuse_misspelled_variables() -> None:
    """Refuse variables that are almost a setting, because a command without that setting would do something else."""
    names = [*map(_variable_of, Settings.model_fields), *_OF_SERVER]
    by_end = {name.removeprefix(_PREFIX): name for name in names}
    for name in unknown_variables():
        meant = get_close_matches(name[len(_PREFIX) :].upper(), by_end, n=1, cutoff=_TYPO_SIMILARITY)
        if meant:
            raise UsageError(f"there is no setting {name}; did you mean {by_end[meant[0]]}?")


def _variable_of(setting: str) -> str:
    return _PREFIX + setting.upper()


def _describe(problem: ErrorDetails, flags: dict[str, Any]) -> str:
    """Return what is wrong, with the name of the flag, the variable or the line of the file that set the value."""
    name, *inside = map(str, problem["loc"])
    if problem["type"] == "extra_forbidden":
        meant = get_close_matches(name.lower().replace("-", "_"), Settings.model_fields, n=1)
        hint = f"; did you mean {meant[0]}?" if meant else ""
        return f"{_config_file}: there is no setting {name}{hint}"
    variable = next((known for known in os.environ if known.upper() == _variable_of(name) and os.environ[known]), None)
    source = f"--{name.replace('_', '-')}" if name in flags else variable or name
    file = "" if name in flags or variable else f" in {_config_file}"
    return f"{' '.join([source, *inside])}{file}: {describe_problem(problem)}"


def parse_rate(text: str) -> float:
    """Return the value of `--plant`, such as `8%` or `0.08`, as a fraction between 0 and 1, both excluded.

    Raises:
        UsageError: the text is not such a fraction.
    """
    try:
        rate: float = TypeAdapter(Fraction).validate_python(text)
    except ValidationError:
        rate = 0.0
    if not 0 < rate < 1:
        raise UsageError(f"--plant: expected more than 0% and less than 100%, such as 8% or 0.08 (got {text!r})")
    return rate
