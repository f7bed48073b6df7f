"""The command line: ``actorcore COMMAND``. Commands are thin; what they do is in the client.

What went wrong is one line on stderr: ``error: code: detail``, with its meaning where the detail does not say it, or
with --json ``{"error": {"code", "detail", "meaning"}}``; the exit codes are in :mod:`supervisors.exit_codes`.
"""

from __future__ import annotations

import errno
import os

import click

import supervisors.cli.daemon  # their commands
import supervisors.cli.processes
import supervisors.cli.saved
import supervisors.cli.sessions
import supervisors.cli.sys  # noqa: F401
from supervisors import exit_codes
from supervisors.cli.base import cli

UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What only writing our own output can end in: of files and sockets these are answered where they are met."""


def run(arguments: list[str]) -> int:
    """Run one command line; its exit code."""
    try:
        code = cli.main(arguments, prog_name="actorcore", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return exit_codes.USAGE
    except click.ClickException as error:
        if "--json" in arguments:
            _say_usage_error(error)
        else:
            error.show()
        return exit_codes.USAGE
    except (click.Abort, KeyboardInterrupt):
        return exit_codes.INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone, as in `actorcore ls | head -1`
        _drop_output()
        return exit_codes.REFUSED
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        _drop_output()
        from actorcore.errors import RequestError

        return _failed(RequestError("write_failed", str(error.strerror)), "--json" in arguments)
    except Exception as error:
        return _failed(error, "--json" in arguments)
    return code if isinstance(code, int) else exit_codes.DONE


def _drop_output() -> None:
    """What is left in the buffer of stdout is not tried again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _say_usage_error(error: click.ClickException) -> None:
    from supervisors.cli import output

    output.say_json_error("usage", error.format_message())


def _failed(error: Exception, as_json: bool) -> int:
    """Known errors become a line; others are bugs and keep their traceback."""
    import msgspec

    from actorcore.errors import ActorError, RequestError
    from supervisors.cli import output

    if isinstance(error, msgspec.ValidationError):
        error = RequestError("invalid_spec", str(error))
    if not isinstance(error, ActorError):
        raise error
    return output.say_error(error, as_json)
