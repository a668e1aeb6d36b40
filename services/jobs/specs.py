"""What is asked for, as Airflow gets it and shows it: flat fields by the names of the contract.

Enums are the names of their values; from Airflow's form also without the prefix, in any case.
"""

from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from parley.jobs.v1 import jobs_pb2 as pb

SUBMITTED_BY = "submitted_by"


def to_conf(spec: pb.JobSpec) -> tuple[str, dict[str, Any]]:
    """Reads a spec: its kind, and all its fields, those that have their default too."""
    kind = spec.WhichOneof("work") or ""
    return kind, {field.name: _read(getattr(spec, kind), field) for field in _fields(kind)}


def to_spec(kind: str, conf: Mapping[str, Any]) -> pb.JobSpec:
    """Writes a spec; what is not a field of its kind, or cannot be its value, is left out."""
    spec = pb.JobSpec()
    work = getattr(spec, kind)
    work.SetInParent()
    for field in _fields(kind):
        if field.name in conf:
            _write(work, field, conf[field.name])
    return spec


def _fields(kind: str) -> list[FieldDescriptor]:
    descriptor = pb.JobSpec.DESCRIPTOR.fields_by_name[kind].message_type
    return list(descriptor.fields)


def _read(work: Message, field: FieldDescriptor) -> Any:
    value = getattr(work, field.name)
    if field.is_repeated:
        return list(value)
    if field.enum_type:
        return field.enum_type.values_by_number[value].name
    return value


def _write(work: Message, field: FieldDescriptor, value: Any) -> None:
    try:
        if field.is_repeated:
            getattr(work, field.name).extend(value)
        elif field.enum_type:
            setattr(work, field.name, _number(field, str(value).upper()))
        else:
            setattr(work, field.name, value)
    except (TypeError, ValueError, KeyError):
        return


def _number(field: FieldDescriptor, name: str) -> int:
    values = field.enum_type.values_by_name
    prefix = field.enum_type.values[0].name.removesuffix("UNSPECIFIED")
    number: int = values[name if name in values else prefix + name].number
    return number
