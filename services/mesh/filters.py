"""The HTTP filters of both listeners, in the order that `listeners.py` puts them.

Knows keys and bounds as values; which routes go without a key is for `routes.py`.
"""

from collections.abc import Mapping, Sequence

from envoy_data_plane.envoy.config.common.mutation_rules.v3 import (
    HeaderMutation,
    HeaderMutationRemoveOnMatch,
)
from envoy_data_plane.envoy.config.core.v3 import (
    GrpcMethodList,
    GrpcMethodListService,
    RuntimeFractionalPercent,
    TypedExtensionConfig,
)
from envoy_data_plane.envoy.extensions.filters.http.api_key_auth.v3 import (
    ApiKeyAuth,
    Credential,
    Forwarding,
    KeySource,
)
from envoy_data_plane.envoy.extensions.filters.http.grpc_stats.v3 import FilterConfig
from envoy_data_plane.envoy.extensions.filters.http.header_to_metadata.v3 import (
    Config,
    ConfigKeyValuePair,
    ConfigRule,
)
from envoy_data_plane.envoy.extensions.filters.http.local_ratelimit.v3 import LocalRateLimit
from envoy_data_plane.envoy.extensions.filters.http.router.v3 import Router
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpFilter
from envoy_data_plane.envoy.extensions.http.early_header_mutation.header_mutation.v3 import (
    HeaderMutation as EarlyHeaderMutation,
)
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher
from envoy_data_plane.envoy.type.v3 import FractionalPercent, TokenBucket

from services.mesh.topology import Limits
from services.mesh.typed import pack, seconds

API_KEY_AUTH = "envoy.filters.http.api_key_auth"
CLIENT_HEADER = "x-parley-client"
SESSION_COOKIE = "parley_session"
OUR_HEADERS = ("x-parley-", "x-envoy-")
VERSION_HEADER = "x-parley-version"
REPLICA_HEADER = "x-parley-replica"
# In the mesh others of ours pass: whom the facade calls for, and what it routes by. These are set
# by this proxy alone: who asks, and which version was drawn.
OUR_MESH_HEADERS = (CLIENT_HEADER, VERSION_HEADER, "x-envoy-")
# Where load balancing looks for what endpoints are, and what one says there of itself.
LB_METADATA = "envoy.lb"
REPLICA_KEY = "replica"
KEY_HEADERS = ("authorization", "x-api-key")
SERVING_METHODS = ("Generate", "CountTokens", "ListLoadedModels")


def forget_headers(prefixes: Sequence[str] = OUR_HEADERS) -> TypedExtensionConfig:
    """Removes, before anything reads them, headers that only this proxy may set."""
    matchers = [StringMatcher(prefix=prefix, ignore_case=True) for prefix in prefixes]
    rules = [
        HeaderMutation(remove_on_match=HeaderMutationRemoveOnMatch(key_matcher=matcher))
        for matcher in matchers
    ]
    return TypedExtensionConfig(
        name="envoy.http.early_header_mutation.header_mutation",
        typed_config=pack(EarlyHeaderMutation(mutations=rules)),
    )


def rate_limit(limits: Limits) -> HttpFilter:
    """A token bucket over all requests, which stops a client that has run wild; 429 when empty."""
    always = RuntimeFractionalPercent(default_value=FractionalPercent(numerator=100))
    config = LocalRateLimit(
        stat_prefix="edge",
        token_bucket=TokenBucket(
            max_tokens=limits.requests_burst,
            tokens_per_fill=limits.requests_per_s,
            fill_interval=seconds(1),
        ),
        filter_enabled=always,
        filter_enforced=always,
    )
    return HttpFilter(name="envoy.filters.http.local_ratelimit", typed_config=pack(config))


def key_auth(clients: Mapping[str, str], *, cookie: bool = False) -> HttpFilter:
    """Asks for a key in `authorization`, `x-api-key` or, where `cookie` is true, the page's cookie.

    The key goes no further than this filter; the client's name goes on in `x-parley-client`.
    """
    sources = [KeySource(header=name) for name in KEY_HEADERS]
    if cookie:
        sources.append(KeySource(cookie=SESSION_COOKIE))
    config = ApiKeyAuth(
        credentials=[Credential(client=client, key=key) for client, key in clients.items()],
        key_sources=sources,
        forwarding=Forwarding(header=CLIENT_HEADER, hide_credentials=True),
    )
    return HttpFilter(name=API_KEY_AUTH, typed_config=pack(config))


def grpc_stats(service: str) -> HttpFilter:
    """Counts calls, statuses and messages of the methods we know, and of no name a caller makes
    up."""
    known = GrpcMethodListService(name=service, method_names=list(SERVING_METHODS))
    config = FilterConfig(
        individual_method_stats_allowlist=GrpcMethodList(services=[known]),
        enable_upstream_stats=True,
    )
    return HttpFilter(name="envoy.filters.http.grpc_stats", typed_config=pack(config))


def prefer_replica() -> HttpFilter:
    """Lets a caller name the replica that it would like best, which load balancing then looks for.

    The header goes no further.
    """
    found = ConfigKeyValuePair(metadata_namespace=LB_METADATA, key=REPLICA_KEY)
    rule = ConfigRule(header=REPLICA_HEADER, on_header_present=found, remove=True)
    return HttpFilter(
        name="envoy.filters.http.header_to_metadata",
        typed_config=pack(Config(request_rules=[rule])),
    )


def router() -> HttpFilter:
    """The last filter: sends the request on."""
    return HttpFilter(
        name="envoy.filters.http.router",
        typed_config=pack(Router(suppress_envoy_headers=True)),
    )
