"""How much memory a version will take, before it is loaded; and how much there is.

Measured with OpenVINO 2026.4 in float32: an engine's process took 127 MiB with 1 MB of weights,
148 MiB with 9 MB and 401 MiB with 128 MB. That is a base and twice the files. The key-value cache
grows with use, up to its bound.
"""

import os
from pathlib import Path

GIB = 1 << 30
ENGINE_BASE_BYTES = 160 << 20
FILES_FACTOR = 2
# A container's bound, where there is one (cgroup v2).
_CGROUP = Path("/sys/fs/cgroup/memory.max")


def estimate(engine_folder: Path, cache_gib: int) -> int:
    """Bytes that a version with these engine files will take at most."""
    files = sum(path.stat().st_size for path in engine_folder.iterdir() if path.is_file())
    return ENGINE_BASE_BYTES + FILES_FACTOR * files + cache_gib * GIB


def machine_bytes() -> int:
    """Memory that this process may use at most."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        bound = int(_CGROUP.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return there
    return min(there, bound)
