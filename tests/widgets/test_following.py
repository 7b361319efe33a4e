"""The rule by which a page follows the night: a new frame never takes a chosen one away."""

from dataclasses import replace

import pytest

pytest.importorskip("panel", reason="the widgets need the extra 'dashboards'")

from goodman_live.catalog import Archive
from goodman_live.widgets.following import Following, is_first_spectrum
from goodman_live.widgets.times import clock, date_and_clock, took

from .making import add_raw, add_spectrum


def test_while_following_the_newest_is_selected():
    following = Following()
    following.arrived(4)
    following.arrived(5)
    assert (following.selected, following.unseen) == (5, ())


def test_spectra_that_end_in_another_order_lead_to_the_latest_exposure():
    following = Following()
    for number, taken in ((1, "01:00"), (5, "05:00"), (4, "04:00"), (3, "03:00")):
        following.arrived(number, spectrum_taken=taken)
    assert following.selected == 5
    following.arrived(6)  # a new frame, whose spectrum is to come
    assert following.selected == 6
    following.arrived(4, spectrum_taken="04:30")
    assert following.selected == 6


def test_a_new_frame_does_not_take_the_chosen_one_away():
    following = Following(selected=4)
    following.choose(2)
    for number in (5, 6, 5):
        following.arrived(number)
    assert (following.selected, following.unseen, following.follow) == (2, (5, 6), False)


def test_looking_at_a_new_frame_takes_it_off_the_count():
    following = Following(follow=False, selected=1, unseen=(5, 6))
    following.choose(5)
    assert following.unseen == (6,)


def test_following_again_goes_to_the_newest_and_forgets_the_count():
    following = Following(follow=False, selected=1, unseen=(5, 6))
    following.resume(6)
    assert (following.selected, following.unseen, following.follow) == (6, (), True)


def test_only_the_first_spectrum_of_a_frame_is_news(tmp_path):
    archive = Archive(tmp_path)
    raw = add_raw(archive, 1)
    spectrum = add_spectrum(archive, raw)
    archive.close()
    assert is_first_spectrum(spectrum)
    assert not is_first_spectrum(raw)
    assert not is_first_spectrum(replace(spectrum, version=2))
    later = spectrum.created.replace("20", "21", 1)
    assert not is_first_spectrum(replace(spectrum, last_modified=later))


@pytest.mark.parametrize("text", ["", "yesterday"])
def test_a_time_that_is_none_is_shown_as_nothing(text):
    assert clock(text) == date_and_clock(text) == ""


@pytest.mark.parametrize(
    "seconds, said", [(0.04, "40 ms"), (1.44, "1.4 s"), (59.2, "59 s"), (125, "2 min 5 s")]
)
def test_durations_are_said_as_people_say_them(seconds, said):
    assert took(seconds) == said
