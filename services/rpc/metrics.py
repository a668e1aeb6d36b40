"""Prometheus metrics that every gRPC server has, and the port that shows them.

A port that is taken ends the process: a replica whose figures nobody can read is set up wrongly.
Names follow the Prometheus rules (units last, `_total` for counts). The port is on loopback only.
"""

import sys

from prometheus_client import Counter, Histogram, start_http_server

from services.rpc.settings import EXIT_BAD_SETTINGS

LOOPBACK = "127.0.0.1"

RPCS = Counter(
    "parley_rpcs_total", "RPCs that ended, by method and status code.", ["method", "code"]
)
RPC_DURATION = Histogram(
    "parley_rpc_duration_seconds",
    "Time from the start to the end of an RPC.",
    ["method"],
    buckets=(
        0.001,
        0.0025,
        0.005,
        0.01,
        0.025,
        0.05,
        0.1,
        0.25,
        0.5,
        1,
        2.5,
        5,
        10,
        30,
        60,
        120,
        300,
    ),
)


def expose(port: int) -> None:
    """Shows this process's metrics at http://127.0.0.1:`port`/metrics; 0 shows them nowhere.

    Ends the process, naming the port, when it cannot be opened.
    """
    if not port:
        return
    try:
        start_http_server(port, addr=LOOPBACK)
    except OSError as error:
        sys.stderr.write(f"parley: metrics port {LOOPBACK}:{port}: {error.strerror}\n")
        raise SystemExit(EXIT_BAD_SETTINGS) from None
