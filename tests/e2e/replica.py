"""A stack's replica seen from inside: its engine's own count, and its processes."""

import time
from collections.abc import Callable

import grpc
import psutil
from parley.serving.v1 import model_serving_pb2 as pb
from parley.serving.v1 import model_serving_pb2_grpc as pb_grpc

from stack.up import Running

POLL_S = 0.005


class ReplicaProbe:
    """Asks a replica directly, past Envoy and the facade."""

    def __init__(self, running: Running, name: str = "serving-0") -> None:
        self._socket = running.plan.home.socket(name)
        self._channel = grpc.insecure_channel(f"unix:{self._socket}")
        self._stub = pb_grpc.ModelServingStub(self._channel)

    def __enter__(self) -> "ReplicaProbe":
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def model(self) -> pb.LoadedModel:
        """What the replica says of its model."""
        answer = self._stub.ListLoadedModels(
            pb.ListLoadedModelsRequest(), timeout=10, wait_for_ready=True
        )
        return answer.models[0]

    def seconds_until(self, holds: Callable[[pb.LoadedModel], bool], within_s: float) -> float:
        """How long until the model's state is so. Fails past the bound."""
        began_s = time.monotonic()
        while not holds(self.model()):
            assert time.monotonic() - began_s < within_s, self.model()
            time.sleep(POLL_S)
        return time.monotonic() - began_s

    def idle_s(self, within_s: float) -> float:
        """How long until the engine counts no sequence and none waits."""
        return self.seconds_until(lambda model: not model.running and not model.waiting, within_s)

    def process(self) -> psutil.Process:
        """The replica's process."""
        found = [process for process in psutil.process_iter() if self._is_mine(process)]
        # An engine that is just being started looks the same for a moment.
        return min(found, key=lambda process: process.create_time())

    def _is_mine(self, process: psutil.Process) -> bool:
        """Whether it serves here; others of this machine end while they are looked at."""
        try:
            told = process.environ().get("PARLEY_SERVING_ADDRESS")
            return "services.serving" in process.cmdline() and told == f"unix:{self._socket}"
        except psutil.Error:
            return False

    def engine(self) -> psutil.Process:
        """The engine's process, the replica's only child."""
        (engine,) = self.process().children()
        return engine
