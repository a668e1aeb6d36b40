"""Which requests go where; everything that is not named here is refused.

The edge's routes are OpenAI's paths and the page; the mesh's are gRPC services; MLflow's are all of
its own. Knows clusters by name only.
"""

from collections.abc import Sequence

from envoy_data_plane.envoy.config.route.v3 import (
    DirectResponseAction,
    FilterConfig,
    HeaderMatcher,
    Route,
    RouteAction,
    RouteActionMaxStreamDuration,
    RouteConfiguration,
    RouteMatch,
    VirtualHost,
    WeightedCluster,
)
from envoy_data_plane.envoy.type.matcher.v3 import RegexMatcher, StringMatcher
from envoy_data_plane.envoy.type.v3 import Int64Range
from envoy_data_plane.google.protobuf import Any

from services.mesh.filters import API_KEY_AUTH, KEY_HEADERS
from services.mesh.topology import Limits
from services.mesh.typed import pack, seconds

MESH = "mesh"  # the mesh listener's routes
GATEWAY = "gateway"
SERVING = "serving"
ADMIN = "admin"
REGISTRY = "registry"
JOBS = "jobs"
MLFLOW = "mlflow"
MESH_CONTROL = "mesh-control"
# Those of the mesh's routes that are there while Envoy runs, whatever the mesh process says.
STATIC_CLUSTERS = frozenset({REGISTRY, JOBS, MESH_CONTROL})
# A browser says which page asks, in one of these; programs send neither. The page's cookie must not
# serve other pages, and those of this machine's other ports are no better.
FETCH_SITE = "sec-fetch-site"
FETCH_MODE = "sec-fetch-mode"
OUR_SITE = "same-origin|none"
OUR_HOST = r"(?i)(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?"
OUR_ORIGIN = rf"https?://{OUR_HOST}"
PUBLIC_PATHS = ("/", "/login", "/healthz", "/favicon.ico", "/favicon.svg")
PUBLIC_FOLDER = "/assets"
CHAT_PATHS = ("/v1/chat/completions", "/v1/completions")
MODELS = "/v1/models"
API = "/api/v1"
JOB_EVENTS = "/api/v1/jobs/[^/]+/events"
DATASETS = "/api/v1/datasets"
STATS_PATHS = ("/ready", "/stats/prometheus")
SERVING_SERVICE = "parley.serving.v1.ModelServing"
REGISTRY_SERVICE = "parley.registry.v1.Registry"
CONTROL_SERVICE = "parley.mesh.v1.Mesh"
JOBS_SERVICES = ("parley.jobs.v1.Jobs", "parley.jobs.v1.Feedback")
MESH_SERVICES = (
    SERVING_SERVICE,
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "grpc.health.v1.Health",
)
INT64_MAX = (1 << 63) - 1


def edge_routes(limits: Limits) -> RouteConfiguration:
    """Routes of the edge listener, to the facade."""
    routes = [
        _refuse(403, RouteMatch(prefix="/", headers=_not("origin", OUR_ORIGIN))),
        _refuse(403, RouteMatch(path_separated_prefix="/v1", headers=_not(FETCH_SITE, OUR_SITE))),
        _refuse(403, RouteMatch(path_separated_prefix="/api", headers=_not(FETCH_SITE, OUR_SITE))),
        _refuse(413, _too_large(limits.dataset_bytes_max, path=DATASETS)),
        _upload(RouteMatch(path=DATASETS), limits),
        _refuse(413, _too_large(limits.request_bytes_max)),
        *(_public(RouteMatch(path=path), limits) for path in PUBLIC_PATHS),
        _public(RouteMatch(path_separated_prefix=PUBLIC_FOLDER), limits),
        *(_stream(RouteMatch(path=path), GATEWAY, limits) for path in CHAT_PATHS),
        _stream(RouteMatch(safe_regex=RegexMatcher(regex=JOB_EVENTS)), GATEWAY, limits),
        _answer(RouteMatch(path_separated_prefix=MODELS), limits),
        _answer(RouteMatch(path_separated_prefix=API), limits),
        _refuse(404, RouteMatch(prefix="/")),
    ]
    return _own_host("edge", routes)


def mesh_routes(
    cluster: str,
    limits: Limits,
    *,
    registry: bool = False,
    jobs: bool = False,
    control: bool = False,
    models: Sequence[Route] = (),
) -> RouteConfiguration:
    """Routes of the mesh listener: `models` first, then the serving services go to `cluster`, and
    those of the registry, the jobs and the mesh process to their own where there are such; others
    are UNIMPLEMENTED."""
    homes = dict.fromkeys(MESH_SERVICES, cluster)
    if registry:
        homes[REGISTRY_SERVICE] = REGISTRY
    if jobs:
        homes.update(dict.fromkeys(JOBS_SERVICES, JOBS))
    routes = [
        *models,
        *(_stream(RouteMatch(prefix=f"/{one}/"), to, limits) for one, to in homes.items()),
    ]
    if control:
        routes.append(_control(limits))
    host = VirtualHost(name=MESH, domains=["*"], routes=routes)
    return RouteConfiguration(name=MESH, virtual_hosts=[host])


def mlflow_routes(limits: Limits) -> RouteConfiguration:
    """Everything goes to MLflow, but what another page has sent; its links may be followed."""
    foreign = _not(FETCH_SITE, OUR_SITE)
    refused = [
        RouteMatch(prefix="/", headers=_not("origin", OUR_ORIGIN)),
        RouteMatch(prefix="/", headers=[*foreign, _other_than(FETCH_MODE, "navigate")]),
        RouteMatch(prefix="/", headers=[*foreign, _other_than(":method", "GET")]),
    ]
    action = RouteAction(cluster=MLFLOW, timeout=seconds(limits.mlflow_answer_s))
    routes = [
        *(_refuse(403, match) for match in refused),
        _refuse(413, _too_large(limits.mlflow_request_bytes_max)),
        Route(match=RouteMatch(prefix="/"), route=action),
    ]
    return _own_host("mlflow", routes)


def stats_routes() -> RouteConfiguration:
    """The two pages of Envoy's admin that are fit for a TCP port."""
    pages = [
        Route(match=RouteMatch(path=path), route=RouteAction(cluster=ADMIN)) for path in STATS_PATHS
    ]
    return _own_host("stats", pages)


def stream_action(to: str | WeightedCluster, limits: Limits) -> RouteAction:
    """Calls that take long go to one cluster or to several: they are bounded by silence and in all,
    and have no timeout."""
    return RouteAction(
        cluster=to if isinstance(to, str) else None,
        weighted_clusters=None if isinstance(to, str) else to,
        timeout=seconds(0),  # Envoy's default of 15 s would cut a stream
        idle_timeout=seconds(limits.silence_s),
        # Not by the caller's grpc-timeout: both ends keep that themselves, and Envoy, when it is a
        # moment earlier, resets the stream, which the caller would take for an INTERNAL error.
        max_stream_duration=RouteActionMaxStreamDuration(
            max_stream_duration=seconds(limits.stream_s)
        ),
    )


def _own_host(name: str, routes: list[Route]) -> RouteConfiguration:
    """Answers to this machine's own names only, so that a foreign name that resolves to loopback
    (DNS rebinding) reaches nothing. A pattern, because Envoy's domains would take "localhost:x"."""
    foreign = _refuse(421, RouteMatch(prefix="/", headers=_not(":authority", OUR_HOST)))
    host = VirtualHost(name=name, domains=["*"], routes=[foreign, *routes])
    return RouteConfiguration(name=name, virtual_hosts=[host])


def _public(match: RouteMatch, limits: Limits) -> Route:
    route = _answer(match, limits)
    route.typed_per_filter_config = _without_key()
    # The facade reads the page's cookie here; a key has no business on these paths.
    route.request_headers_to_remove = list(KEY_HEADERS)
    return route


def _answer(match: RouteMatch, limits: Limits) -> Route:
    action = RouteAction(cluster=GATEWAY, timeout=seconds(limits.answer_s))
    return Route(match=match, route=action)


def _upload(match: RouteMatch, limits: Limits) -> Route:
    action = RouteAction(cluster=GATEWAY, timeout=seconds(limits.dataset_s))
    return Route(match=match, route=action)


def _stream(match: RouteMatch, cluster: str, limits: Limits) -> Route:
    return Route(match=match, route=stream_action(cluster, limits))


def _control(limits: Limits) -> Route:
    """A replica of another machine stays joined for as long as it speaks."""
    action = stream_action(MESH_CONTROL, limits)
    action.idle_timeout = seconds(limits.answer_s)
    action.max_stream_duration = RouteActionMaxStreamDuration(max_stream_duration=seconds(0))
    return Route(match=RouteMatch(prefix=f"/{CONTROL_SERVICE}/"), route=action)


def _refuse(status: int, match: RouteMatch) -> Route:
    return Route(
        match=match,
        direct_response=DirectResponseAction(status=status),
        typed_per_filter_config=_without_key(),
    )


def _not(header: str, pattern: str) -> list[HeaderMatcher]:
    """Matches a request that has the header, with a value that is not of the pattern."""
    ours = StringMatcher(safe_regex=RegexMatcher(regex=pattern))
    return [
        HeaderMatcher(name=header, present_match=True),
        HeaderMatcher(name=header, string_match=ours, invert_match=True),
    ]


def _other_than(header: str, value: str) -> HeaderMatcher:
    """Matches a request whose header has another value, or that lacks it."""
    same = StringMatcher(exact=value)
    return HeaderMatcher(
        name=header, string_match=same, invert_match=True, treat_missing_header_as_empty=True
    )


def _too_large(bytes_max: int, path: str = "") -> RouteMatch:
    """A body whose declared length is over the bound; the facade counts one without a length."""
    over = Int64Range(start=bytes_max + 1, end=INT64_MAX)
    headers = [HeaderMatcher(name="content-length", range_match=over)]
    return (
        RouteMatch(path=path, headers=headers) if path else RouteMatch(prefix="/", headers=headers)
    )


def _without_key() -> dict[str, Any]:
    return {API_KEY_AUTH: pack(FilterConfig(disabled=True))}
