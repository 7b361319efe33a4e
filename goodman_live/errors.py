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


class SettingsError(GoodmanError, ValueError):
    """A reduction setting is unknown or outside its allowed range."""
