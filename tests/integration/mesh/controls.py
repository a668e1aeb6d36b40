"""A control plane on a thread of its own, and replicas that answer in the tests' own process."""

import asyncio
import contextlib
import dataclasses
import threading
from concurrent import futures

import grpc
import httpx
from envoy_data_plane.envoy.config.cluster.v3 import ClusterLbPolicy
from envoy_data_plane.envoy.config.core.v3 import HeaderValue, HeaderValueOption
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from parley.mesh.v1 import mesh_pb2, mesh_pb2_grpc
from parley.serving.v1 import model_serving_pb2 as pb
from parley.serving.v1 import model_serving_pb2_grpc

from services.mesh.ads import Control
from services.mesh.snapshot import Snapshot, build_snapshot, check_consistent, snapshot_of
from services.mesh.state import Aliased, Member, MeshState, ModelTraffic, Share
from services.mesh.topology import Limits

from .programs import MESH_KEY, SERVICE, eventually, plan, running_envoy

KEY = (("authorization", f"Bearer {MESH_KEY}"),)
STREAMS = 64


def discovered(folder, **changes):
    """A topology whose replicas come and go."""
    address = f"unix:{folder / 'mesh.sock'}"
    changes = {"control_address": address, **changes}
    return dataclasses.replace(plan(folder), replicas=(), **changes)


def member(folder, name, *versions, serving=True):
    """A replica with these versions of the model m."""
    ready = frozenset(("m", version) for version in versions)
    return Member(name, f"unix:{folder / name}.sock", ready, serving)


def state(*members, aliases=(), **weights):
    """A mesh of one model, m, whose versions are weighted as `v1=90`."""
    shares = tuple(Share(version[1:], weight) for version, weight in weights.items())
    model = ModelTraffic("m", shares, tuple(Aliased(*one) for one in aliases), ())
    return MeshState(members, (model,))


def snapshot(told):
    """What proxies are told of a state."""
    found = build_snapshot(told, Limits(), registry=False, jobs=False, control=True)
    check_consistent(found)
    return found


class RunningControl:
    """A control plane at `mesh.sock` of a folder, which can be stopped and begun anew."""

    def __init__(self, folder, keep=None, before=None):
        self._address = f"unix:{folder / 'mesh.sock'}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._call(self._start(keep, before))

    def publish(self, told, urgent=False):
        """Has proxies follow a state or a snapshot, and gives the snapshot."""
        found = told if isinstance(told, Snapshot) else snapshot(told)
        self._loop.call_soon_threadsafe(self._control.publish, found, urgent)
        return found

    def statuses(self):
        """How far the one proxy is, by kind."""
        (proxy,) = self._call(self._proxies()) or (None,)
        return {one.kind: one for one in proxy.resources} if proxy else {}

    def connected(self):
        """Whether the one proxy is there."""
        return [proxy.connected for proxy in self._call(self._proxies())] == [True]

    def follows(self, found):
        """Whether the proxy has taken all of a snapshot."""
        taken = {kind: one.acknowledged for kind, one in self.statuses().items()}
        return taken == found.versions

    def tell(self, told, urgent=False):
        """Publishes, and waits until the proxy has taken it."""
        found = self.publish(told, urgent)
        eventually(lambda: self.follows(found))
        return found

    def refused_routes(self, told):
        """The snapshot of a state, with routes that Envoy refuses."""
        found = snapshot(told)
        routes = found.resources["routes"]["mesh"]
        bad = HeaderValueOption(header=HeaderValue(key="x", value="%NO_SUCH_COMMAND"))
        routes.virtual_hosts[0].request_headers_to_add = [bad]
        return snapshot_of(found.resources)

    def refused_cluster(self, told, name):
        """The snapshot of a state, with one cluster that Envoy refuses."""
        found = snapshot(told)
        found.resources["clusters"][name].lb_policy = ClusterLbPolicy.CLUSTER_PROVIDED
        return snapshot_of(found.resources)

    def stop(self):
        """Ends it as a process ends that is killed: without a word."""
        if not self._thread.is_alive():
            return
        self._call(self._server.stop(None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _start(self, keep, before):
        self._control = Control(keep, before)
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers((self._control.handler(),))
        mesh_pb2_grpc.add_MeshServicer_to_server(_Mesh(), self._server)
        self._server.add_insecure_port(self._address)
        await self._server.start()

    async def _proxies(self):
        return self._control.proxies()

    def _call(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)


class _Mesh(mesh_pb2_grpc.MeshServicer):
    async def GetMesh(self, request, context):
        return mesh_pb2.GetMeshResponse(snapshot="the mesh")


@contextlib.contextmanager
def running_control(folder, **told):
    """A control plane for as long as the block runs."""
    control = RunningControl(folder, **told)
    try:
        yield control
    finally:
        control.stop()


@contextlib.contextmanager
def following(folder, first, **told):
    """An Envoy that follows a control plane, which begins with a state."""
    with running_control(folder, **told) as control:
        control.publish(first)
        with running_envoy(folder, discovered(folder)) as envoy:
            eventually(lambda: control.follows(snapshot(first)))
            yield control, envoy


class _Serving(model_serving_pb2_grpc.ModelServingServicer):
    def __init__(self, name):
        self._name = name

    def CountTokens(self, request, context):
        seen = [(f"saw-{key}", value) for key, value in context.invocation_metadata()]
        context.send_initial_metadata([("replica", self._name), *seen])
        return pb.CountTokensResponse()

    def Generate(self, request, context):
        gap = threading.Event()
        for number in range(request.stopping.tokens_max):
            yield pb.GenerateResponse(delta=pb.Delta(position=number, text=self._name))
            gap.wait(request.sampling.temperature)


@contextlib.contextmanager
def serving(folder, *names):
    """Replicas that say their names, at `NAME.sock`; gives their servers by name."""
    servers = {name: _serve(folder, name) for name in names}
    try:
        yield servers
    finally:
        for server in servers.values():
            server.stop(None).wait(10)


def _serve(folder, name):
    server = grpc.server(futures.ThreadPoolExecutor(STREAMS))
    model_serving_pb2_grpc.add_ModelServingServicer_to_server(_Serving(name), server)
    checks = health.HealthServicer()
    checks.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    server.add_insecure_port(f"unix:{folder / name}.sock")
    server.start()
    return server


class Caller:
    """Asks through an Envoy's mesh listener, over one channel."""

    def __init__(self, envoy):
        self._channel = grpc.insecure_channel(envoy.mesh)
        self._stub = model_serving_pb2_grpc.ModelServingStub(self._channel)

    def ask(self, model="", **told):
        """A unary call with `x-parley-` headers; gives who answered and what it saw."""
        request = pb.CountTokensRequest(text="x")
        _, call = self._stub.CountTokens.with_call(request, metadata=_told(model, told), timeout=5)
        return dict(call.initial_metadata())

    def who(self, model="", **told):
        """The replica and the version that it was told, or the failure's code."""
        try:
            seen = self.ask(model, **told)
        except grpc.RpcError as error:
            return error.code()
        return seen["replica"], seen.get("saw-x-parley-version", "")

    def stream(self, model="", deltas=10, gap_s=0.0, **told):
        """A stream of deltas, whose text is the replica's name."""
        request = pb.GenerateRequest(
            text="x",
            stopping=pb.Stopping(tokens_max=deltas),
            sampling=pb.Sampling(temperature=gap_s),
        )
        return self._stub.Generate(request, metadata=_told(model, told), timeout=30)

    def get_mesh(self):
        """What the mesh process says of itself."""
        stub = mesh_pb2_grpc.MeshStub(self._channel)
        return stub.GetMesh(mesh_pb2.GetMeshRequest(), metadata=KEY, timeout=5)


class Load:
    """Calls without end from some threads; remembers what came of them."""

    def __init__(self, envoy, model, threads=4):
        self.answers = []
        self._end = threading.Event()
        callers = [Caller(envoy) for _ in range(threads)]
        self._threads = [threading.Thread(target=self._call, args=(one, model)) for one in callers]

    def _call(self, caller, model):
        while not self._end.is_set():
            self.answers.append(caller.who(model))

    def __enter__(self):
        for one in self._threads:
            one.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        for one in self._threads:
            one.join(10)

    def since(self, count):
        """Waits for some more answers, and gives them."""
        seen = len(self.answers)
        eventually(lambda: len(self.answers) >= seen + count)
        return self.answers[seen:]


def _told(model, told):
    given = {"model": model, **told}
    return (*KEY, *((f"x-parley-{key}", str(value)) for key, value in given.items() if value != ""))


def figure(envoy, name):
    """One of Envoy's counters or gauges."""
    transport = httpx.HTTPTransport(uds=str(envoy.folder / "admin.sock"))
    with httpx.Client(transport=transport, base_url="http://localhost") as client:
        said = client.get("/stats", params={"filter": f"^{name}$"}).text
    return int(said.split(":")[1]) if ":" in said else None
