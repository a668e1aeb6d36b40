"""Which address of /api/v1 is which call of jobs and feedback: their tables.

Two addresses are none of these, for they are streams: a job's events and a dataset's bytes.
"""

from parley.jobs.v1 import feedback_pb2, jobs_pb2

from gateway.api.call import PAGE, ROOT, Call

_JOBS = jobs_pb2.DESCRIPTOR.services_by_name["Jobs"].methods_by_name
_FEEDBACK = feedback_pb2.DESCRIPTOR.services_by_name["Feedback"].methods_by_name
_JOB = f"{ROOT}/jobs/{{id}}"
_SCHEDULE = f"{ROOT}/schedules/{{name}}"

CALLS = (
    Call(
        "GET",
        f"{ROOT}/jobs",
        _JOBS["ListJobs"],
        "Lists jobs, newest first.",
        query=("states", "kind", "model", *PAGE),
    ),
    Call("POST", f"{ROOT}/jobs", _JOBS["SubmitJob"], "Takes a job on.", status=202),
    Call("GET", _JOB, _JOBS["GetJob"], "Gets a job."),
    Call(
        "POST",
        f"{_JOB}:cancel",
        _JOBS["CancelJob"],
        "Ends a job.",
        body_optional=True,
    ),
    Call(
        "POST",
        f"{_JOB}:retry",
        _JOBS["RetryJob"],
        "Runs a failed or cancelled job again, from the task that did not succeed.",
    ),
    Call("GET", f"{ROOT}/schedules", _JOBS["ListSchedules"], "Lists what runs by itself."),
    Call(
        "POST",
        f"{_SCHEDULE}:pause",
        _JOBS["PauseSchedule"],
        "Holds a schedule.",
        fixed={"paused": True},
    ),
    Call(
        "POST",
        f"{_SCHEDULE}:resume",
        _JOBS["PauseSchedule"],
        "Lets a schedule go on.",
        fixed={"paused": False},
        operation="ResumeSchedule",
    ),
    Call(
        "POST",
        f"{ROOT}/feedback",
        _FEEDBACK["GiveFeedback"],
        "Keeps a person's word on an answer.",
    ),
    Call(
        "GET",
        f"{ROOT}/feedback",
        _FEEDBACK["ListFeedback"],
        "Lists feedback, newest first.",
        query=("model", "response_id", "dataset_digest", *PAGE),
    ),
    Call(
        "POST",
        f"{ROOT}/feedback:export",
        _FEEDBACK["ExportFeedback"],
        "Makes a dataset of a model's feedback.",
    ),
)
LAST_EVENT_ID = "Last-Event-ID"
WATCH = Call(
    "GET",
    f"{_JOB}/events",
    _JOBS["WatchJob"],
    "Streams a job's events until it has ended.",
    query=("revision",),
    headers=(LAST_EVENT_ID,),
    answer_kind="text/event-stream",
    answer="Server-sent events: `job` with the Job as it is; then `state`, `task`, `progress`, "
    "`metrics` and `line`, each a JobEvent whose revision is its id; `end` with the Job at its "
    f"end; or `problem` with a Problem. Goes on after {LAST_EVENT_ID}, or after `revision`.",
)
UPLOAD = Call(
    "POST",
    f"{ROOT}/datasets",
    _FEEDBACK["UploadDataset"],
    "Stores a dataset, up to 64 MiB, by its digest. The body is its bytes.",
    query=("name",),
    needed=("name",),
    body_kind="application/octet-stream",
)
STREAMS = (WATCH, UPLOAD)
