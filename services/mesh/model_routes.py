"""Which replicas take a request that names a model: those of one version, picked by its weights.

The facade names the model in a header, and a number for the conversation, so that all of its
requests draw the same version. What matches nothing here goes on to the next routes.
"""

from collections.abc import Sequence

from envoy_data_plane.envoy.config.core.v3 import (
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
)
from envoy_data_plane.envoy.config.route.v3 import (
    HeaderMatcher,
    Route,
    RouteMatch,
    WeightedCluster,
    WeightedClusterClusterWeight,
)
from envoy_data_plane.envoy.type.matcher.v3 import RegexMatcher, StringMatcher

from services.mesh.filters import VERSION_HEADER
from services.mesh.routes import SERVING_SERVICE, stream_action
from services.mesh.state import Share
from services.mesh.topology import Limits

MODEL_HEADER = "x-parley-model"
DRAW_HEADER = "x-parley-draw"
# Only these are of a model; the others ask of a replica.
METHODS = rf"/{SERVING_SERVICE}/(Generate|CountTokens)".replace(".", r"\.")


def cluster_of(model: str, version: str) -> str:
    """The name of a version's cluster, which is also how a request asks for it."""
    return f"{model}@{version}"


def pinned_route(asked: str, model: str, version: str, limits: Limits) -> Route:
    """Requests that ask for `asked` go to that version."""
    return Route(
        match=_match(asked),
        route=stream_action(cluster_of(model, version), limits),
        request_headers_to_add=[_pin(version)],
    )


def weighted_route(model: str, shares: Sequence[Share], limits: Limits) -> Route:
    """Requests that ask for the model go to its versions by their shares, which sum to 100."""
    weighted = WeightedCluster(
        clusters=[
            WeightedClusterClusterWeight(
                name=cluster_of(model, share.version),
                weight=share.weight,
                request_headers_to_add=[_pin(share.version)],
            )
            for share in shares
        ],
        header_name=DRAW_HEADER,
    )
    return Route(match=_match(model), route=stream_action(weighted, limits))


def _match(asked: str) -> RouteMatch:
    header = HeaderMatcher(name=MODEL_HEADER, string_match=StringMatcher(exact=asked))
    return RouteMatch(safe_regex=RegexMatcher(regex=METHODS), headers=[header])


def _pin(version: str) -> HeaderValueOption:
    """Tells the replica which version was drawn. A percent sign would begin a command."""
    return HeaderValueOption(
        header=HeaderValue(key=VERSION_HEADER, value=version.replace("%", "%%")),
        append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
    )
