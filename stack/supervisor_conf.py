"""Writes what supervisord reads. No secret goes in: programs are told files, never values."""

import os
import resource
import shlex

from stack.errors import StackError
from stack.home import Home
from stack.plan import Plan, Program

LOG_BYTES_MAX = "10MB"
LOG_BACKUPS = 2
# A crash at start is tried again after 1 s, 2 s, 3 s, ...; 60 tries are half an hour.
START_RETRIES = 60
# A thousand connections at the edge take two files each in Envoy, and the gateway holds its own.
FILES_MAX = 4096


def render(plan: Plan) -> str:
    """The configuration of supervisord for `plan`.

    Raises StackError for a path that its format cannot hold.
    """
    return "\n".join([_head(plan.home), *(_program(plan.home, p) for p in plan.programs)])


def _files_max() -> int:
    """As many open files as wanted, or as this user may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return FILES_MAX if hard == resource.RLIM_INFINITY else min(FILES_MAX, hard)


def _head(home: Home) -> str:
    # supervisord warns when root runs it without saying so; anyone else may not say.
    user = "user=0\n" if os.getuid() == 0 else ""
    return f"""\
[unix_http_server]
file={_value(home.socket("supervisor"))}
chmod=0600

[supervisord]
{user}directory={_value(home.run)}
logfile={_value(home.log("supervisor"))}
logfile_maxbytes={LOG_BYTES_MAX}
logfile_backups=1
pidfile={_value(home.run / "supervisord.pid")}
umask=077
nocleanup=true
minfds={_files_max()}
minprocs=50

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""


def _program(home: Home, program: Program) -> str:
    """One program: started by us in order, restarted by supervisord whenever it ends.

    Only the program itself is asked to stop, for its children must live through its drain; what is
    left of its group is killed with it.
    """
    return f"""\
[program:{program.name}]
command={_value(shlex.join(program.command))}
environment={_environment(program.environment)}
directory={_value(home.run)}
autostart=false
autorestart=true
startsecs=1
startretries={START_RETRIES}
stopsignal={program.stop_signal}
stopasgroup=false
killasgroup=true
stopwaitsecs={program.stop_within_s:.0f}
redirect_stderr=true
stdout_logfile={_value(home.log(program.name))}
stdout_logfile_maxbytes={LOG_BYTES_MAX}
stdout_logfile_backups={LOG_BACKUPS}
"""


def _environment(values: dict[str, str]) -> str:
    return ",".join(f'{name}="{_value(value)}"' for name, value in values.items())


def _value(value: object) -> str:
    """`value` as supervisord's format takes it: doubled percent signs, nothing it would cut."""
    text = str(value)
    if any(mark in text for mark in ('"', "\n", " ;", " #", "\t;", "\t#")):
        raise StackError(
            f"supervisord cannot hold this: {text}",
            mend="Use folders without quotes, and without ; or # after a space (PARLEY_HOME).",
        )
    return text.replace("%", "%%")
