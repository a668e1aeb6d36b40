"""The header of a safetensors file, held to all rules of the format before anything maps it.

Eight bytes give the header's length, little-endian; the header is a JSON object of tensors with
type, shape and place; the places follow each other without gap or overlap up to the file's end.
Knows no model.
"""

import math
from pathlib import Path
from typing import Any, cast

from services.registry.importing.json_file import parse_object
from services.registry.importing.refusals import refused

HEADER_BYTES_MAX = 100_000_000
_LENGTH_BYTES = 8
_METADATA = "__metadata__"
_DIMENSIONS_MAX = 16
# Bits of one element.
_DTYPES = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "I16": 16, "U16": 16, "F16": 16,
    "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64,
}  # fmt: skip


def read_tensor_names(path: Path) -> set[str]:
    """Returns the names of the tensors in the file. Raises InvalidArgument when it breaks a rule of
    the format."""
    header, data_bytes = _read_header(path)
    if not isinstance(header.pop(_METADATA, {}), dict):
        raise _broken(path, "has metadata that are no object")
    places = sorted(_place(path, name, header[name]) for name in header)
    end = 0
    for start, stop in places:
        if start != end:
            raise _broken(path, "has tensors that overlap or leave a gap")
        end = stop
    if end > data_bytes:
        raise refused(
            "TRUNCATED_WEIGHTS", path.name, f"ends early: its tensors take {end} bytes, but only "
            f"{data_bytes} are there. Copy or download it again.",
        )  # fmt: skip
    if end < data_bytes:
        raise _broken(path, "has bytes behind its last tensor")
    return set(header)


def _read_header(path: Path) -> tuple[dict[str, Any], int]:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        if length > HEADER_BYTES_MAX:
            words = f"has a header of more than {HEADER_BYTES_MAX} bytes"
            raise refused("HEADER_TOO_LARGE", path.name, f"{words}. Save the weights again.")
        if size < _LENGTH_BYTES + max(length, 2):
            words = "ends within its header. Copy or download it again."
            raise refused("TRUNCATED_WEIGHTS", path.name, words)
        text = file.read(length)
    if not text.startswith(b"{"):
        raise _broken(path, "has a header that does not begin as one")
    return parse_object(path.name, text, "BAD_SAFETENSORS"), size - _LENGTH_BYTES - length


def _place(path: Path, name: str, tensor: Any) -> tuple[int, int]:
    """Where a tensor's bytes begin and end."""
    if not isinstance(tensor, dict) or tensor.keys() != {"dtype", "shape", "data_offsets"}:
        raise _broken(path, f"has a tensor that is not described as one: {name[:100]!a}")
    dtype, shape, offsets = tensor["dtype"], tensor["shape"], tensor["data_offsets"]
    if not (isinstance(dtype, str) and dtype in _DTYPES):
        words = f"has a tensor of a type that is not taken: {str(dtype)[:20]!a}"
        raise _broken(path, words)
    if not (_whole(shape, _DIMENSIONS_MAX) and _whole(offsets, 2) and len(offsets) == 2):
        raise _broken(path, f"has a tensor with a bad shape or place: {name[:100]!a}")
    start, stop = cast(list[int], offsets)
    if (stop - start) * 8 != math.prod(shape) * _DTYPES[dtype]:
        raise _broken(path, f"has a tensor whose place does not fit its shape: {name[:100]!a}")
    return start, stop


def _whole(numbers: Any, count_max: int) -> bool:
    if not isinstance(numbers, list) or len(numbers) > count_max:
        return False
    return all(type(number) is int and 0 <= number < 1 << 63 for number in numbers)


def _broken(path: Path, words: str) -> Exception:
    return refused("BAD_SAFETENSORS", path.name, f"{words}. Save the weights again.")
