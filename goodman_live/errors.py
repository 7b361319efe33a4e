"""Failures of data that a person can act on.

Every message says *what* must be *rule*, not *value*, and where to look.
A wrong argument is a plain `ValueError` or `TypeError`; anything else is a bug.
"""


class GoodmanError(Exception):
    """Base of all failures that a person can act on."""


class FrameError(GoodmanError):
    """A file cannot be read as a Goodman frame, or its header contradicts its pixels."""


class CalibrationMissing(GoodmanError):
    """A frame needs a calibration that is not there (yet)."""


class NoTargetFound(GoodmanError):
    """No object stands out of the noise along the slit."""


class NoWavelengthSolution(GoodmanError):
    """An arc could not be identified with confidence; no answer beats a wrong one."""


class NoLineFound(GoodmanError):
    """Nothing in a range of a spectrum can be measured as a line."""


class SettingsError(GoodmanError, ValueError):
    """A reduction setting is unknown or outside its allowed range."""


class Refused(GoodmanError):
    """What somebody asked for breaks a rule."""


class NotFound(GoodmanError, KeyError):
    """It does not exist, or not for whoever asks: nobody can tell which."""

    __str__ = Exception.__str__


class Forbidden(GoodmanError):
    """Somebody who may see a thing must not do this to it."""


class Away(GoodmanError):
    """The archive cannot be reached just now; it may be in a moment."""


class SignInNeeded(GoodmanError):
    """Only people who are signed in may ask for this."""
