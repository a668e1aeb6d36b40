"""Runs the facade: `python -m gateway`, with settings from `PARLEY_GATEWAY_*`."""

import asyncio
import sys

import uvloop

from gateway.server import listen, serve
from gateway.settings import GatewaySettings
from services.rpc import logs, metrics
from services.rpc.scheduling import give_way
from services.rpc.settings import EXIT_BAD_SETTINGS, read


def main() -> None:
    """Reads the settings and serves. Exits with 78 when a setting, a secret or the address is
    wrong."""
    give_way()
    logs.configure("gateway")
    settings = read(GatewaySettings)
    try:
        metrics.expose(settings.metrics_port)
        opened = listen(settings.address)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings, opened))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"parley: gateway: {error}\n")
        raise SystemExit(EXIT_BAD_SETTINGS) from None


if __name__ == "__main__":
    main()
