"""The rule by which a page follows the night.

While following, the newest frame is selected as it arrives; once a person has chosen a frame,
nothing takes it away, and what arrives is counted.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..catalog import FileRow
from .products import is_spectrum
from .times import moment_of

SAME_SECONDS = 1.0  # between the first record of a file and its completion


@dataclass
class Following:
    """Which frame is selected, and how many came in since a person chose it.

    Attributes
    ----------
    follow
        Whether the newest is selected as it arrives.
    selected
        Number of the selected frame in the archive, None before the first.
    unseen
        Numbers of the frames that arrived while not following.
    latest
        When the latest exposure was begun to whose spectrum it went.
    """

    follow: bool = True
    selected: int | None = None
    unseen: tuple[int, ...] = ()
    latest: str = ""

    def choose(self, file_id: int) -> None:
        """A person picks a frame: stay there."""
        self.follow = False
        self.selected = file_id
        self.unseen = tuple(number for number in self.unseen if number != file_id)

    def arrived(self, file_id: int, *, spectrum_taken: str = "") -> None:
        """A frame, or the spectrum of one, arrived: go there, or count it.

        Parameters
        ----------
        spectrum_taken
            When the exposure of a spectrum was begun.
        """
        if self.is_late(spectrum_taken):
            return
        self.latest = max(self.latest, spectrum_taken)
        if self.follow:
            self.selected = file_id
        elif file_id != self.selected and file_id not in self.unseen:
            self.unseen = (*self.unseen, file_id)

    def is_late(self, spectrum_taken: str) -> bool:
        """Whether following goes past a spectrum, by the beginning of its exposure.

        Several workers may end in any order: the spectrum of an earlier exposure takes nobody back
        from that of a later one.
        """
        return self.follow and bool(spectrum_taken) and spectrum_taken < self.latest

    def resume(self, newest: int | None) -> None:
        """Follow again, beginning with the newest frame."""
        self.follow = True
        self.unseen = ()
        self.selected = newest

    def stop(self) -> None:
        """Stay at the selected frame."""
        self.follow = False


def is_first_spectrum(product: FileRow) -> bool:
    """Whether a frame has a spectrum for the first time.

    A spectrum that is made again, of better calibrations or because somebody asked for it, is no
    reason to leave the frame that one looks at: a master that grew would lead through the night.
    """
    if not is_spectrum(product) or product.version != 1:
        return False
    made, changed = moment_of(product.created), moment_of(product.last_modified)
    return not made or not changed or (changed - made).total_seconds() < SAME_SECONDS
