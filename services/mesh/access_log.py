"""One JSON line per request on Envoy's standard output.

No line holds a secret: the path comes without its query, and neither `authorization`, `x-api-key`
nor `cookie` is in any format.
"""

from envoy_data_plane.envoy.config.accesslog.v3 import AccessLog
from envoy_data_plane.envoy.config.core.v3 import JsonFormatOptions, SubstitutionFormatString
from envoy_data_plane.envoy.extensions.access_loggers.stream.v3 import StdoutAccessLog

from services.mesh.typed import pack, struct

COMMON_FIELDS = {
    "time": "%START_TIME%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "client": "%REQ(X-PARLEY-CLIENT)%",
    "method": "%REQ(:METHOD)%",
    "path": "%PATH(NQ:PATH):200%",
    "protocol": "%PROTOCOL%",
    "status": "%RESPONSE_CODE%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "flags": "%RESPONSE_FLAGS%",
    "duration_ms": "%DURATION%",
    "first_byte_ms": "%RESPONSE_DURATION%",
    "last_bytes_ms": "%RESPONSE_TX_DURATION%",
    "received_bytes": "%BYTES_RECEIVED%",
    "sent_bytes": "%BYTES_SENT%",
    "upstream": "%UPSTREAM_HOST%",
    "user_agent": "%REQ(USER-AGENT):120%",
}
EDGE_FIELDS = {"client_request_id": "%REQ(X-CLIENT-REQUEST-ID):120%"}
MESH_FIELDS = {"grpc_status": "%GRPC_STATUS%", "replica": "%UPSTREAM_HOST_NAME%"}


def edge_log() -> AccessLog:
    """The edge listener's log."""
    return _log({"listener": "edge", **COMMON_FIELDS, **EDGE_FIELDS})


def mesh_log() -> AccessLog:
    """The mesh listener's log."""
    return _log({"listener": "mesh", **COMMON_FIELDS, **MESH_FIELDS})


def mlflow_log() -> AccessLog:
    """MLflow's listener's log."""
    return _log({"listener": "mlflow", **COMMON_FIELDS})


def _log(fields: dict[str, str]) -> AccessLog:
    log_format = SubstitutionFormatString(
        json_format=struct(fields),
        omit_empty_values=True,
        json_format_options=JsonFormatOptions(sort_properties=False),
    )
    return AccessLog(
        name="envoy.access_loggers.stdout",
        typed_config=pack(StdoutAccessLog(log_format=log_format)),
    )
