"""How many cores there are for the engines of this machine."""

import psutil


def machine_cores() -> int:
    """The machine's cores, each counted once however many threads it runs; 1 where that is not
    known."""
    return psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
