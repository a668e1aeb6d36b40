"""The fields of the forms that Airflow's page shows, by the names that the contract gives them.

Bounds and patterns are those of protos/parley/jobs/v1/jobs.proto; a test holds them to it. An enum
is the last word of its value's name in small letters, or the whole name.
"""

from typing import Any

from airflow.sdk import Param

_MODEL = "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
_MODEL_OR_EMPTY = "^([A-Za-z0-9][A-Za-z0-9._-]{0,127})?$"
_PLACE = "^(/|file:///|s3://|sha256:[0-9a-f]{64}$)"
_PLACE_OR_EMPTY = "^(|/.*|file:///.*|s3://.*|sha256:[0-9a-f]{64})$"
_PLACES = "/path or file:///path on this machine, s3://bucket/key, or sha256:DIGEST"
_SOURCE = "^(/|file:///|s3://|hub:.)"
_OPTIONAL: dict[str, Any] = {"default": "", "type": ["string", "null"]}
_METHODS = ["full", "lora", "scratch"]


def model(words: str, **default: str) -> Param:
    """A model's name; required, unless it has a default."""
    pattern = _MODEL_OR_EMPTY if default.get("default") == "" else _MODEL
    return Param(description=words, type="string", pattern=pattern, **default)


def reference(words: str, *, required: bool) -> Param:
    """A model as name, name@alias or name@number."""
    if required:
        return Param(description=words, type="string", minLength=1, maxLength=256)
    return text(words, 256)


def place(words: str, *, required: bool = True) -> Param:
    """Where data are."""
    if required:
        rest: dict[str, Any] = {"pattern": _PLACE, "type": "string"}
    else:
        rest = {"pattern": _PLACE_OR_EMPTY, **_OPTIONAL}
    return Param(description=f"{words}: {_PLACES}.", maxLength=4096, **rest)


def source(words: str) -> Param:
    """Where a model's folder is."""
    return Param(description=words, type="string", pattern=_SOURCE, maxLength=4096)


def text(words: str, length_max: int = 128) -> Param:
    """A text that may be empty."""
    return Param(description=words, maxLength=length_max, **_OPTIONAL)


def number(words: str, most: float, *, whole: bool = True) -> Param:
    """A number from 0, its default, on."""
    kind = "integer" if whole else "number"
    return Param(0, description=words, type=kind, minimum=0, maximum=most)


def seed() -> Param:
    """The seed."""
    return number("Seed of everything that is drawn.", 4294967295)


def switch(words: str) -> Param:
    """A switch that is off by default."""
    return Param(False, description=words, type="boolean")


def no_promotion() -> Param:
    """Whether the version is left where it is."""
    return switch("Leaves the version registered without asking for its promotion.")


def method() -> Param:
    """How weights are changed."""
    short = "|".join(_METHODS)
    names = "|".join(["UNSPECIFIED", *map(str.upper, _METHODS)])
    return Param(
        "full",
        description="How the weights are changed: full (all of the base), lora (low-rank "
        "additions), scratch (new weights in the base's shape).",
        type="string",
        examples=_METHODS,
        pattern=f"^({short}|TRAINING_METHOD_({names}))$",
    )


def harness_tasks() -> Param:
    """Tasks of lm-evaluation-harness."""
    return Param(
        [],
        description="Tasks of lm-evaluation-harness to run as well, where their data are present; "
        "one a line.",
        type=["array", "null"],
        items={"type": "string", "minLength": 1, "maxLength": 128},
        maxItems=16,
    )


def submitted_by() -> Param:
    """On whose behalf; no field of the contract, which takes it from the key."""
    return text("On whose behalf the registry is asked; airflow by default.")
