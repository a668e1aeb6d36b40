"""Prometheus metrics of the mesh process."""

from prometheus_client import Counter, Gauge, Histogram

PROXIES = Gauge("parley_mesh_proxies", "Proxies that follow the mesh now.")
REFUSALS = Counter("parley_mesh_refusals_total", "Messages that a proxy refused.", ["kind"])
TAKEN = Histogram(
    "parley_mesh_taken_seconds",
    "Time from a snapshot to a proxy that has taken all of it.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
