"""The names of what a span says, in one place: most of OpenTelemetry's for GenAI are not settled.

From the registry of semantic conventions, https://opentelemetry.io/docs/specs/semconv/gen-ai/.
"""

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_CHOICES = "gen_ai.request.choice.count"
REQUEST_STREAM = "gen_ai.request.stream"
REQUEST_TOKENS_MAX = "gen_ai.request.max_tokens"
REQUEST_STOPS = "gen_ai.request.stop_sequences"
# A field of Sampling, and its name.
REQUEST_SAMPLING = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "seed": "gen_ai.request.seed",
}
RESPONSE_ID = "gen_ai.response.id"
RESPONSE_MODEL = "gen_ai.response.model"
FINISH_REASONS = "gen_ai.response.finish_reasons"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
FIRST_TOKEN_S = "gen_ai.server.time_to_first_token"  # noqa: S105 (in seconds, no password)
INPUT = "gen_ai.input.messages"
OUTPUT = "gen_ai.output.messages"
ERROR = "error.type"

REQUEST_ID = "parley.request_id"
VERSION = "parley.model_version"
DIGEST = "parley.model_digest"
RUN = "parley.run_id"
DATASET = "parley.dataset_digest"
REVISION = "parley.revision"
MIGRATIONS = "parley.migrations"
MIGRATION_REASONS = "parley.migration_reasons"
QUEUE_S = "parley.queue_duration"  # in seconds
