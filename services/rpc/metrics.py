"""Prometheus metrics that every gRPC server has, and the port that shows them.

Names follow the Prometheus rules (units last, `_total` for counts). The port is on loopback only.
"""

from prometheus_client import Counter, Histogram, start_http_server

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
    """Shows this process's metrics at http://127.0.0.1:`port`/metrics; 0 shows them nowhere."""
    if port:
        start_http_server(port, addr="127.0.0.1")
