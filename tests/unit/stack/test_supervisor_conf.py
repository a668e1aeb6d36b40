"""What supervisord is told."""

import configparser

import pytest

from stack import keys
from stack.errors import StackError
from stack.plan import Plan, Program
from stack.supervisor_conf import render


def parsed(planned: Plan) -> configparser.ConfigParser:
    """The configuration as supervisord's own parser splits it."""
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"))
    parser.read_string(render(planned))
    return parser


def test_no_secret_is_in_the_configuration(planned):
    """Programs are told files, never values."""
    keys.ensure(planned.home)
    text = render(planned)
    for path in (planned.home.api_key, planned.home.page_key, planned.home.mesh_key):
        assert keys.read(path) not in text


def test_every_program_is_started_by_us_and_restarted_by_supervisord(planned):
    """Order is ours; a program that dies comes back."""
    conf = parsed(planned)
    for program in planned.programs:
        section = conf[f"program:{program.name}"]
        assert section["autostart"] == "false"
        assert section["autorestart"] == "true"


def test_children_live_through_the_drain_and_not_past_the_kill(planned):
    """SIGTERM goes to the program alone, SIGKILL to its whole group."""
    section = parsed(planned)["program:serving-0"]
    assert section["stopasgroup"] == "false"
    assert section["killasgroup"] == "true"
    assert float(section["stopwaitsecs"]) == planned.program("serving-0").stop_within_s


def test_logs_have_a_bound(planned):
    """No log grows without end."""
    conf = parsed(planned)
    for name in conf.sections():
        if name.startswith("program:"):
            assert conf[name]["stdout_logfile_maxbytes"] == "10MB"
            assert conf[name]["stdout_logfile_backups"] == "2"
    assert conf["supervisord"]["logfile_maxbytes"] == "10MB"


def test_percent_signs_are_kept(planned):
    """supervisord expands %(...)s; ours are literal."""
    program = Program("gateway", 1, ("/bin/echo", "100%"), {"A": "50%"})
    section = parsed(planned.with_program(program))["program:gateway"]
    assert section["command"] == "/bin/echo 100%%"
    assert section["environment"] == 'A="50%%"'


@pytest.mark.parametrize("path", ["/a #b", "/a ;b", 'a"b', "a\nb"])
def test_a_path_that_the_format_would_cut_is_refused(planned, path):
    """Better no start than one with half a path."""
    program = Program("gateway", 1, ("/bin/true",), {"A": path})
    with pytest.raises(StackError, match="cannot hold"):
        render(planned.with_program(program))
