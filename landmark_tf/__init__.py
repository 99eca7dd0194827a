"""Recognise landmarks in photographs, and know when there is none."""

__version__ = "0.1.0"


class InputError(ValueError):
    """Something the user gave cannot be used, and the user can mend it.

    The message is one line that says what is wrong, what to do about it, and
    ends with what was received. The command line prints it without a traceback
    and exits with code 1.
    """


class Preempted(Exception):
    """The work was asked to stop, has saved its state, and can go on.

    The command line prints the message and exits with code 75 (EX_TEMPFAIL),
    so that a scheduler can tell it from success and from failure.
    """
