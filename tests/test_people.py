"""Users, proposals, passwords, links, tokens, settings, comments and the roster of a semester."""

from __future__ import annotations

import email
import email.policy
import json
import re
import threading
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from access_world import CHEAP

from goodman_live.catalog import Archive
from goodman_live.catalog.database import writing
from goodman_live.cli import main
from goodman_live.errors import NotFound, Refused, SettingsError
from goodman_live.io import info_of
from goodman_live.mail import FolderMailer, MailError, SmtpMailer
from goodman_live.people import (
    Hasher,
    LinkRefused,
    PasswordRefused,
    People,
    Preferences,
    SignInRefused,
    TooManyAttempts,
    key_in,
    roster,
    semester_of,
)
from goodman_live.people.passwords import faults_of
from goodman_live.people.schema import LINKS, METADATA, TOKENS, USERS
from goodman_live.simulate import SetUp, simulate_spectrum
from goodman_live.widgets.image import COLOUR_MAPS

GOOD, BETTER = "violet-Herschel-1800", "copper-Fraunhofer-1814"
OURS = ("users", "proposals", "memberships", "tokens", "links", "settings", "comments", "attempts")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def archive(request, tmp_path_factory):
    url = None
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql_server").new_database()
    archive = Archive(tmp_path_factory.mktemp("archive"), url)
    yield archive
    archive.close()


class Clock:
    """A clock that is put forward by hand."""

    def __init__(self):
        self.time = datetime(2026, 11, 21, 18, tzinfo=UTC)

    def __call__(self):
        return self.time

    def forward(self, **time):
        self.time += timedelta(**time)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def people(archive, tmp_path, clock):
    with writing(archive.database) as connection:
        for table in reversed(METADATA.sorted_tables):
            if table.name in OURS:
                connection.execute(sa.delete(table))
    mailer = FolderMailer(tmp_path / "mail")
    people = People(archive.database, mailer, hasher=Hasher(**CHEAP), clock=clock)
    yield people
    people.close()


@pytest.fixture
def ana(people):
    user = people.add_user("ana.nunez@uni.edu", first_name="Ana", last_name="Ñuñez")
    return people.set_password(user.id, GOOD)


def mails(people):
    """Mails that were sent, oldest first."""
    folder = people.mailer.folder
    paths = sorted(folder.iterdir()) if folder.exists() else []
    read = (path.read_bytes() for path in paths)
    return [email.message_from_bytes(content, policy=email.policy.default) for content in read]


def secret_in(mail):
    return re.search(r"/password#(\S+)", mail.get_content())[1]


def at_once(*actions):
    """What several threads that begin together get, results or errors."""
    barrier, results = threading.Barrier(len(actions)), []

    def run(action):
        barrier.wait(60)
        try:
            results.append(action())
        except Exception as error:
            results.append(error)

    threads = [threading.Thread(target=run, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def content_of(people):
    """All rows of all our tables."""
    with people.database.connect() as connection:
        tables = [METADATA.tables[name] for name in OURS]
        return {t.name: connection.execute(sa.select(t)).all() for t in tables}


# Users


def test_user_names_are_made_of_addresses_and_are_unique(people):
    names = [
        people.add_user(address).username
        for address in (
            "J.Doe@a.org",
            "j.doe+soar@b.org",
            "j.doe@c.org",
            "!!!@a.org",
            "o'neil@a.org",
        )
    ]
    assert names == ["j.doe", "j.doe2", "j.doe3", "user", "oneil"]


def test_one_address_in_any_case_is_one_user(people, ana):
    for address in ("ana.nunez@uni.edu", " Ana.Nunez@UNI.edu "):
        with pytest.raises(Refused, match="already"):
            people.add_user(address)
        assert people.find_user(address).id == ana.id
    other = people.add_user("other@uni.edu")
    with pytest.raises(Refused, match="belongs to another user"):
        people.change_user(other.id, email="ANA.NUNEZ@uni.edu")
    with pytest.raises(Refused, match="belongs to another user"):
        people.change_user(other.id, username="Ana.Nunez")


@pytest.mark.parametrize(
    "values",
    [
        {"email": "a@b"},
        {"email": "a b@c.org"},
        {"email": "a@b.org\nBcc: c@d.org"},
        {"email": "a@b.org,c@d.org"},
        {"email": "ä@b.org"},
        {"email": f"{'a' * 250}@b.org"},
        {"first_name": "A\nB"},
        {"first_name": "Win at https://evil.org"},
        {"last_name": "x" * 151},
        {"partner": "KECK"},
        {"username": "no spaces"},
        {"username": "../root"},
    ],
)
def test_what_is_no_address_or_name_is_refused(people, values):
    before = content_of(people)
    with pytest.raises(Refused):
        people.add_user(**{"email": "new@uni.edu"} | values)
    assert content_of(people) == before


def test_two_who_add_one_address_at_once_make_one_user(people, ana):
    people.add_proposal("SOAR2026B-001", pi=ana.id)
    results = at_once(
        *(lambda a=a: people.add_collaborator("SOAR2026B-001", a) for a in ("b@c.org", "B@c.org"))
    )
    assert sorted(added.is_new_user for added in results) == [False, True]
    assert [u.email for u in people.proposal("SOAR2026B-001").collaborators] == ["b@c.org"]
    assert len(mails(people)) == 1


# Passwords


@pytest.mark.parametrize(
    ("password", "sentence"),
    [
        ("ana.nunez1", "must not be similar to your user name"),
        ("Rodriguez9", "must not be similar to your last name"),
        ("li_wu-chen", "must not be similar to your full name"),
        ("observatory.edu", "must not be similar to your e-mail address"),
        ("kx7#Qp2", "must have at least 8 characters"),
        ("Sunshine", "must not be one that many people use"),
        ("password1", "must not be one that many people use"),
        ("8395027461", "must not consist of digits only"),
        ("x" * 257, "must have at most 256 characters"),
    ],
)
def test_each_rule_for_passwords_has_its_own_sentence(password, sentence):
    personal = {
        "user name": "ana.nunez",
        "last name": "Rodriguez",
        "full name": "LiWuChen",
        "e-mail address": "mr@observatory.edu",
    }
    (fault,) = faults_of(password, personal)
    assert sentence in fault
    assert faults_of(GOOD, personal) == []


def test_all_broken_rules_are_told_at_once_and_nothing_is_changed(people, ana):
    with pytest.raises(PasswordRefused) as told:
        people.set_password(ana.id, "1234")
    assert len(told.value.reasons) == 3 and "1234" not in str(told.value)
    assert people.sign_in("ana.nunez", GOOD).id == ana.id


def test_a_megabyte_is_refused_at_once(people, ana):
    with pytest.raises(PasswordRefused):
        people.set_password(ana.id, "x" * 1_000_000)
    with pytest.raises(SignInRefused):
        people.sign_in("ana.nunez", "x" * 1_000_000)


def test_a_password_is_kept_as_an_argon2id_hash_and_composed_letters_are_the_same(people, ana):
    people.set_password(ana.id, "café-Ångström-1868")
    with people.database.connect() as connection:
        kept = connection.execute(sa.select(USERS.c.password)).scalar()
    assert kept.startswith("$argon2id$") and "café" not in kept
    assert people.sign_in("ana.nunez", "cafe\u0301-A\u030angstro\u0308m-1868").id == ana.id


def test_a_dated_hash_is_renewed_when_its_owner_signs_in(people, ana):
    people.hasher = Hasher(**CHEAP | {"memory_cost": 16})
    people.sign_in("ana.nunez", GOOD)
    with people.database.connect() as connection:
        assert "m=16," in connection.execute(sa.select(USERS.c.password)).scalar()
    assert people.sign_in("ana.nunez", GOOD).id == ana.id


def test_default_hashes_are_those_of_rfc_9106():
    assert "$m=65536,t=3,p=4$" in Hasher().hash(GOOD)


# Signing in


def test_one_signs_in_by_name_or_address_in_any_case(people, ana, clock):
    clock.forward(hours=1)
    for name in ("ana.nunez", "ANA.NUNEZ@uni.edu", " Ana.Nunez "):
        assert people.sign_in(name, GOOD, "10.0.0.1").last_login == "2026-11-21T19:00:00.000Z"


def test_nobody_can_tell_who_has_an_account(people, ana):
    people.add_user("invited@uni.edu")
    people.change_user(people.add_user("gone@uni.edu").id, is_active=False)
    for name in ("ana.nunez", "nobody", "invited", "gone", "", "\ud800", "a\0b", "x" * 10_000):
        with pytest.raises(SignInRefused) as told:
            people.sign_in(name, "wrong")
        assert str(told.value) == "The user name or the password is wrong."


def test_an_unknown_name_costs_as_many_hashes_as_a_known_one(people, ana):
    class Counting(Hasher):
        n = 0

        def __init__(self):
            super().__init__(**CHEAP)
            argon = self._argon

            class Counted:
                hash = staticmethod(argon.hash)
                check_needs_rehash = staticmethod(argon.check_needs_rehash)

                @staticmethod
                def verify(kept, password):
                    Counting.n += 1
                    return argon.verify(kept, password)

            self._argon = Counted

    people.hasher = Counting()
    for number, name in enumerate(("ana.nunez", "nobody", "ana.nunez", "other"), start=1):
        with pytest.raises(SignInRefused):
            people.sign_in(name, "wrong")
        assert Counting.n == number


@pytest.mark.parametrize("name", ["ana.nunez", "nobody"])
def test_attempts_at_an_account_have_to_wait_ever_longer(people, ana, clock, name):
    for _ in range(5):
        with pytest.raises(SignInRefused):
            people.sign_in(name, "wrong")
    waits = []
    for _ in range(4):
        with pytest.raises(TooManyAttempts) as told:
            people.sign_in(name, GOOD)  # not even the right one
        waits.append(told.value.seconds)
        clock.forward(seconds=told.value.seconds + 0.001)
        with pytest.raises(SignInRefused):
            people.sign_in(name, "wrong")
    assert waits == pytest.approx([1, 2, 4, 8], abs=0.01)
    clock.forward(days=30)
    for _ in range(5):
        with pytest.raises(SignInRefused):
            people.sign_in(name, "wrong")


def test_attempts_from_an_address_have_to_wait_whatever_names_they_use(people, ana, clock):
    for number in range(20):
        with pytest.raises(SignInRefused):
            people.sign_in(f"user{number}", "wrong", "10.0.0.1")
    with pytest.raises(TooManyAttempts):
        people.sign_in("ana.nunez", GOOD, "10.0.0.1")
    assert people.sign_in("ana.nunez", GOOD, "10.0.0.2").id == ana.id
    for _ in range(3):  # good ones do not make it longer
        clock.forward(seconds=1.1)
        assert people.sign_in("ana.nunez", GOOD, "10.0.0.1").id == ana.id


def test_guesses_made_at_once_are_counted_one_by_one(people, ana):
    def guess():
        return people.sign_in("ana.nunez", "wrong")

    results = at_once(*[guess] * 8)
    kinds = sorted(type(error).__name__ for error in results)
    assert kinds == ["SignInRefused"] * 5 + ["TooManyAttempts"] * 3


def test_attempts_keep_no_names_and_old_ones_are_forgotten(people, clock):
    for _ in range(3):
        with pytest.raises(SignInRefused):
            people.sign_in("my-password-by-mistake", "x", "10.0.0.1")
    assert "mistake" not in str(content_of(people)["attempts"])
    clock.forward(hours=2)
    with pytest.raises(SignInRefused):
        people.sign_in("other", "x")
    assert len(content_of(people)["attempts"]) == 1


# Invitations and resets


def test_an_invitation_sets_a_password_once(people):
    user = people.invite(people.add_user("new@uni.edu").id, by="Ana")
    (mail,) = mails(people)
    assert mail["To"] == "new <new@uni.edu>" and "Ana has made an account" in mail.get_content()
    secret = secret_in(mail)
    assert secret not in str(content_of(people))
    assert people.user_of_link(secret).id == user.id and user.invited
    with pytest.raises(PasswordRefused):
        people.use_link(secret, "12345678")
    assert people.use_link(secret, GOOD).password_changed
    for ask in (people.user_of_link, lambda s: people.use_link(s, BETTER)):
        with pytest.raises(LinkRefused):
            ask(secret)
    assert people.sign_in("new", GOOD).id == user.id


def test_links_expire_and_made_up_ones_are_refused_in_the_same_words(people, ana, clock):
    invitation, reset = people.link(ana.id, days=14), people.link(ana.id, hours=2)
    clock.forward(hours=2)
    said = set()
    for secret in (reset, "made-up", "", "\ud800"):
        with pytest.raises(LinkRefused) as told:
            people.use_link(secret, BETTER)
        said.add(str(told.value))
    assert len(said) == 1
    clock.forward(days=13)
    assert people.use_link(invitation, BETTER).id == ana.id


def test_of_two_who_use_a_link_at_once_one_is_refused(people, ana):
    secret = people.link(ana.id)
    results = at_once(
        lambda: people.use_link(secret, GOOD + "1"), lambda: people.use_link(secret, BETTER + "2")
    )
    assert sorted(type(result).__name__ for result in results) == ["LinkRefused", "User"]


def test_links_are_void_after_a_new_password_a_new_address_or_for_who_is_not_active(people, ana):
    def is_void(secret):
        try:
            return not people.user_of_link(secret)
        except LinkRefused:
            return True

    secret = people.link(ana.id)
    people.change_user(ana.id, is_active=False)
    assert is_void(secret)
    people.change_user(ana.id, is_active=True)
    assert not is_void(secret)
    people.change_password(ana.id, GOOD, BETTER)
    assert is_void(secret)
    secret = people.link(ana.id)
    people.change_user(ana.id, first_name="Anna")
    assert not is_void(secret)
    people.change_user(ana.id, email="ana@new.org")
    assert is_void(secret)


def test_a_forgotten_password_is_reset_by_mail_and_nobody_learns_who_is_known(people, ana):
    people.change_user(people.add_user("gone@uni.edu").id, is_active=False)
    for name in ("nobody", "gone@uni.edu", "ANA.nunez@uni.edu", "no@where.org"):
        assert people.request_reset(name, "10.0.0.1") is None
    people.close()
    (mail,) = mails(people)
    assert mail["To"].addresses[0].addr_spec == "ana.nunez@uni.edu"
    people.use_link(secret_in(mail), BETTER)
    assert people.sign_in("ana.nunez", BETTER).id == ana.id
    with pytest.raises(SignInRefused):
        people.sign_in("ana.nunez", GOOD)


@pytest.mark.parametrize("name", ["ana.nunez", "nobody"])
def test_resets_cannot_be_asked_for_without_end(people, ana, name):
    for _ in range(3):
        people.request_reset(name)
    with pytest.raises(TooManyAttempts):
        people.request_reset(name)


def test_the_old_password_is_needed_for_a_new_one(people, ana):
    with pytest.raises(SignInRefused):
        people.change_password(ana.id, "wrong", BETTER)
    assert people.change_password(ana.id, GOOD, BETTER).id == ana.id


def test_a_mail_that_fails_undoes_nothing_and_is_told(people, ana, tmp_path):
    people.add_proposal("SOAR2026B-001", pi=ana.id)
    people.mailer = SmtpMailer("127.0.0.1", 1)
    added = people.add_collaborator("SOAR2026B-001", "new@uni.edu")
    assert added.is_new_user and "was not taken by" in added.problem
    assert not people.user(added.user.id).invited
    with pytest.raises(MailError):
        people.invite(added.user.id)
    people.mailer = FolderMailer(tmp_path / "mail")
    assert people.invite(added.user.id).invited


# Tokens


def test_a_token_is_forty_letters_shown_once_and_revoked_at_once(people, ana):
    token, key = people.add_token(ana.id, "laptop")
    assert re.fullmatch("[0-9a-f]{40}", key) and key.startswith(token.prefix)
    assert key not in str(content_of(people)) and len(token.prefix) == 8
    assert people.user_of_key(key) == ana.id
    assert people.user_of_key(key[:-1] + "x") is None and people.user_of_key("\ud800") is None
    people.revoke_token(token.id)
    assert people.user_of_key(key) is None
    (listed,) = people.tokens(ana.id)
    assert listed.revoked and listed.label == "laptop"


def test_tokens_expire_and_hold_for_active_users_only(people, ana, clock):
    _, key = people.add_token(ana.id, days=1)
    _, lasting = people.add_token(ana.id)
    people.change_user(ana.id, is_active=False)
    assert people.user_of_key(key) is None
    people.change_user(ana.id, is_active=True)
    assert people.user_of_key(key) == ana.id
    clock.forward(days=1)
    assert people.user_of_key(key) is None and people.user_of_key(lasting) == ana.id


def test_the_last_use_of_a_token_is_noted_but_not_at_every_use(people, ana, clock):
    _, key = people.add_token(ana.id)
    noted = []
    for _ in range(4):
        people.user_of_key(key)
        noted.append(people.tokens(ana.id)[0].last_used[11:16])
        clock.forward(minutes=3)
    assert noted == ["18:00", "18:00", "18:06", "18:06"]


@pytest.mark.parametrize("word", ["Token", "token", "TOKEN", " Token "])
def test_a_key_is_read_of_a_header_in_any_case(word):
    key = "0123456789abcdef" * 2 + "01234567"
    assert key_in(f"{word} {key}") == key_in(f"{word}  {key.upper()}") == key
    for header in (f"Bearer {key}", key, f"Token {key}0", f"Token {key[1:]}", "Token ", ""):
        assert key_in(header) is None


# Proposals


@pytest.mark.parametrize(
    ("moment", "semester"),
    [
        ("2026-02-01T15:00", "2025B"),
        ("2026-02-01T17:00", "2026A"),
        ("2026-08-01T09:00", "2026A"),
        ("2026-08-01T20:00", "2026B"),
        ("2026-12-31T23:00", "2026B"),
        ("2027-01-31T23:00", "2026B"),
        ("2027-02-01T05:00", "2026B"),
    ],
)
def test_semesters_begin_with_the_nights_of_february_and_august(moment, semester):
    assert semester_of(datetime.fromisoformat(moment).replace(tzinfo=UTC)) == semester


def test_the_next_soar_id_follows_the_last_of_the_present_semester(people, clock):
    assert people.next_soar_id() == "SOAR2026B-001"
    for name in (
        "SOAR2026B-007",
        "SOAR2026B-011",
        "SOAR2026B-x",
        "SOAR2026A-099",
        "CN2026B-822501",
    ):
        people.add_proposal(name)
    assert people.next_soar_id() == "SOAR2026B-012" and people.next_soar_id("2026A")[-3:] == "100"
    clock.forward(days=90)
    assert people.next_soar_id() == "SOAR2027A-001"


@pytest.mark.parametrize(
    ("soar_id", "semester"),
    [
        ("SOAR2026B-012", "2026B"),
        ("CN2026B-822501", "2026B"),
        ("TOM2026-30", ""),
        ("TOM2020A-005", "2020A"),
        ("GHTS_ENGINEERING", ""),
        ("calibrate", ""),
        ("SOAR", ""),
        ("SOAR Engineering", ""),
        ("N188 - Hermes", ""),
    ],
)
def test_every_family_of_soar_ids_is_known(people, soar_id, semester):
    assert people.add_proposal(soar_id).semester == semester
    with pytest.raises(Refused, match="already"):
        people.add_proposal(soar_id.swapcase())


@pytest.mark.parametrize("soar_id", ["", "A", "NONE", "SOAR  2026B", "SOAR\n2026B", "../x", "É-1"])
def test_what_is_no_soar_id_is_refused(people, soar_id):
    with pytest.raises(Refused, match="SOAR id must be"):
        people.add_proposal(soar_id)


def test_a_proposal_changes_its_pi_and_a_wrong_id(people, ana):
    people.add_proposal("SOAR2026B-001", title="Novae", abstract="Two\nlines.")
    people.add_collaborator("SOAR2026B-001", ana.email)
    changed = people.change_proposal("SOAR2026B-001", pi=ana.id, new_soar_id="SOAR2026B-010")
    assert changed.pi.id == ana.id and changed.collaborators == ()
    assert people.proposal("SOAR2026B-010").abstract == "Two\nlines."
    with pytest.raises(NotFound):
        people.proposal("SOAR2026B-001")
    assert people.viewer(ana.id).leads == {"SOAR2026B-010"}
    people.add_proposal("SOAR2026B-002")
    with pytest.raises(Refused, match="already"):
        people.change_proposal("SOAR2026B-002", new_soar_id="soar2026b-010")
    with pytest.raises(Refused, match="semester"):
        people.change_proposal("SOAR2026B-002", semester="2026C")


def test_collaborators_come_and_go(people, ana):
    people.add_proposal("SOAR2026B-001", pi=ana.id)
    added = people.add_collaborator("SOAR2026B-001", "J.Doe@uni.edu", by="Ana", last_name="Doe")
    assert (added.user.username, added.is_new_user, added.problem) == ("j.doe", True, "")
    assert not people.has_password(added.user.id)
    (mail,) = mails(people)
    assert "Ana has made an account" in mail.get_content()
    again = people.add_collaborator("SOAR2026B-001", "j.doe@uni.edu")
    assert not again.is_new_user and len(mails(people)) == 1
    with pytest.raises(Refused, match="is the PI"):
        people.add_collaborator("SOAR2026B-001", ana.email)
    assert people.viewer(added.user.id).joins == {"SOAR2026B-001"}
    assert [p.soar_id for p in people.proposals(added.user.id)] == ["SOAR2026B-001"]
    people.remove_collaborator("SOAR2026B-001", "J.doe@uni.edu")
    assert people.viewer(added.user.id).joins == frozenset()
    with pytest.raises(NotFound):
        people.remove_collaborator("SOAR2026B-001", "j.doe@uni.edu")


def test_marks_of_sql_in_a_search_are_only_text(people, ana):
    people.add_user("percent@uni.edu", first_name="100%")
    assert [u.username for u in people.users(search="%")] == ["percent"]
    assert people.users(search="' OR 1=1 --") == []


# Settings, preferences, comments


def test_a_proposal_has_its_own_settings_before_those_of_the_site(people, ana):
    people.add_proposal("SOAR2026B-001", pi=ana.id)
    assert people.settings("SOAR2026B-001").changed() == {}
    people.save_settings(None, {"ignore_flats": True, "technique": "imaging"}, "root")
    people.save_settings("SOAR2026B-001", {"ignore_flats": False}, "ana.nunez")
    settings = people.settings("SOAR2026B-001")
    assert (settings.ignore_flats, settings.technique) == (False, "imaging")
    assert people.settings().changed() == {"ignore_flats": True, "technique": "imaging"}
    people.save_settings("SOAR2026B-001", {}, "ana.nunez")
    first, second = people.history_of_settings("SOAR2026B-001")
    assert first.values == {} and second.values == {"ignore_flats": False}
    assert second.author == "ana.nunez" and second.time == "2026-11-21T18:00:00.000Z"


@pytest.mark.parametrize("values", [{"no_such": 1}, {"technique": "magic"}, {"ignore_flats": 2}])
def test_wrong_settings_and_preferences_are_refused_and_not_kept(people, ana, values):
    people.add_proposal("SOAR2026B-001", pi=ana.id)
    with pytest.raises(SettingsError):
        people.save_settings("SOAR2026B-001", values, "ana")
    with pytest.raises(SettingsError):
        people.save_preferences(ana.id, values)
    with pytest.raises(NotFound):
        people.save_settings("SOAR2026B-999", {}, "ana")
    assert people.history_of_settings("SOAR2026B-001") == []


def test_preferences_are_kept_one_by_one(people, ana):
    people.save_preferences(ana.id, {"theme": "light"})
    people.save_preferences(ana.id, {"show_saturated": False})
    kept = people.preferences(ana.id)
    assert (kept.theme, kept.show_saturated, kept.plots) == ("light", False, "interactive")
    assert Preferences.param.colour_map.objects == list(COLOUR_MAPS)


def test_comments_are_edited_and_taken_back_and_go_with_their_file(people, ana, archive):
    info = info_of(simulate_spectrum(SetUp.preset("400_M2").window(12), seed=1)[0])
    raw = archive.add_raw(archive.folder(info.night, "RAW") / info.file_name, info)
    path = archive.folder(info.night, "REDUCED") / "c.fits"
    product = archive.add_product(path, 2, info, original_id=raw.id)
    since = archive.last_event()
    first = people.add_comment(raw.id, ana.id, " Clouds,\nthen none. ")
    second = people.add_comment(raw.id, ana.id, "Seeing 0.7")
    assert (first.text, first.author) == ("Clouds,\nthen none.", "ana.nunez")
    assert people.edit_comment(second.id, "Seeing 0.8").edited
    people.delete_comment(first.id)
    assert [c.text for c in people.comments(raw.id)] == ["Seeing 0.8"]
    assert "Clouds" not in str(content_of(people))
    for action in (people.comment, people.delete_comment):
        with pytest.raises(NotFound):
            action(first.id)
    told = archive.events_since(since)
    assert [(e.type, e.file_id, e.text) for e in told] == [("comment", raw.id, "")] * 4
    people.add_comment(product.id, ana.id, "Gone soon.")
    archive.forget_product(product)
    assert people.comments(product.id) == []


@pytest.mark.parametrize("text", ["", "  \n ", "x" * 10_001, "\x1b[2J", "a\0b"])
def test_a_comment_is_plain_text_of_some_length(people, ana, archive, text):
    with pytest.raises(Refused):
        people.add_comment(1, ana.id, text)


# The roster of a semester

ROSTER = """soar_id,pi_email,pi_first_name,pi_last_name,partner,title,abstract,collaborators
SOAR2026B-001,Ana.Nunez@uni.edu,Ana,Ñuñez,chile,Novae,"Some
novae, twice.",Bob Roe <bob@roe.org>; c@d.org
CN2026B-822501,new@uni.edu,Nora,New,NOIRLAB,Galaxies,,ana.nunez@uni.edu;

calibrate,staff@soar.org,,,,,,
"""


def write(path, text=ROSTER, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def test_a_roster_registers_all_and_a_second_time_nothing(people, ana, tmp_path):
    rows = roster.read_roster(write(tmp_path / "r.csv"))
    before = content_of(people)
    planned = roster.register(people, rows, dry=True)
    assert content_of(people) == before and mails(people) == []
    told = roster.register(people, rows, dry=False)
    assert told.changes == planned.changes and len(told.changes) == 10
    assert roster.send_invitations(people, told) == []
    assert sorted(m["To"].addresses[0].addr_spec for m in mails(people)) == [
        "bob@roe.org",
        "c@d.org",
        "new@uni.edu",
        "staff@soar.org",
    ]
    novae = people.proposal("SOAR2026B-001")
    assert (novae.pi.id, novae.title, novae.abstract) == (ana.id, "Novae", "Some\nnovae, twice.")
    assert [u.full_name for u in novae.collaborators] == ["Bob Roe", "c"]
    assert people.find_user("new").partner == "NOIRLAB"
    after = content_of(people)
    again = roster.register(people, rows, dry=False)
    assert again.changes == [] and roster.send_invitations(people, again) == []
    assert content_of(people) == after and len(mails(people)) == 4


def test_a_changed_roster_tells_just_what_it_changes_and_takes_nobody_out(people, ana, tmp_path):
    roster.register(people, roster.read_roster(write(tmp_path / "r.csv")), dry=False)
    text = "soar_id;pi_email;title;collaborators\nSOAR2026B-001;bob@roe.org;Supernovae;\n"
    rows = roster.read_roster(write(tmp_path / "r.csv", text, "utf-8-sig"))
    told = roster.register(people, rows, dry=False)
    assert told.changes == [
        "title of SOAR2026B-001: Supernovae",
        "PI of SOAR2026B-001: bob@roe.org",
    ]
    proposal = people.proposal("SOAR2026B-001")
    assert proposal.pi.email == "bob@roe.org" and proposal.abstract == "Some\nnovae, twice."
    assert [u.email for u in proposal.collaborators] == ["c@d.org"]


def test_bad_rows_are_named_by_line_and_nothing_is_half_done(people, tmp_path):
    text = (
        "soar_id,pi_email,partner,abstract,collaborators\n"
        'SOAR2026B-001,ana@uni.edu,,"two\nlines",\n'
        "SOAR/2,bob@uni.edu,,,\n"
        "SOAR2026B-003,nobody,,,\n"
        "SOAR2026B-004,ana@uni.edu,,,good@uni.edu; bad\n"
        "SOAR2026B-005,x@uni.edu,KECK,,\n"
        "soar2026b-001,ana@uni.edu,,,\n"
    )
    before = content_of(people)
    rows = roster.read_roster(write(tmp_path / "r.csv", text))
    for dry in (True, False):
        with pytest.raises(roster.RosterRefused) as told:
            roster.register(people, rows, dry=dry)
        lines = [problem.partition(":")[0] for problem in told.value.problems]
        assert lines == [f"line {number}" for number in (4, 5, 6, 7, 8)]
        assert "'bad'" in told.value.problems[2] and "line 2 already" in told.value.problems[4]
        assert content_of(people) == before


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("soar_id\nA1\n", "line 1: the columns must be"),
        ("soar_id,pi_email,phone\n", "line 1: the columns must be"),
        ("", "line 1: the columns must be"),
        ("soar_id,pi_email\nA1\nA2,b@c.org,x\n", "line 2: must have 2 cells, not 1"),
        ('soar_id,pi_email\n"A1"x,b@c.org\n', "line 2:"),
    ],
)
def test_a_file_that_is_no_roster_is_refused(tmp_path, text, sentence):
    with pytest.raises(roster.RosterRefused, match=re.escape(sentence)):
        roster.read_roster(write(tmp_path / "r.csv", text))


def test_a_file_in_another_encoding_is_refused(tmp_path):
    with pytest.raises(roster.RosterRefused, match="must be text in UTF-8"):
        roster.read_roster(write(tmp_path / "r.csv", "soar_id,pi_email\nA1,Ñ\n", "latin-1"))
    with pytest.raises(roster.RosterRefused, match="No such file"):
        roster.read_roster(tmp_path / "none.csv")


def test_invitations_that_failed_are_sent_the_next_time(people, tmp_path):
    rows = roster.read_roster(write(tmp_path / "r.csv"))
    folder, people.mailer = people.mailer, SmtpMailer("127.0.0.1", 1)
    told = roster.register(people, rows, dry=False)
    assert len(roster.send_invitations(people, told)) == len(told.to_invite) == 5
    people.mailer = folder
    again = roster.register(people, rows, dry=False)
    assert again.changes == [] and roster.send_invitations(people, again) == []
    assert len(mails(people)) == 5


# At the shell


@pytest.fixture
def shell(tmp_path, capsys, monkeypatch):
    """`goodman-live people`: its exit code and what it says."""
    for name in ("GOODMAN_LIVE_MAIL", "GOODMAN_LIVE_SITE", "GOODMAN_LIVE_DATABASE"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments):
        code = main(["people", *map(str, arguments), "--archive", str(tmp_path)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_a_site_is_set_up_at_the_shell(shell, tmp_path):
    _, said, _ = shell("add-user", "root@soar.org", "--superuser", "--print-link")
    name, link = said.splitlines()
    assert name == "root  root <root@soar.org>" and "/password#" in link
    path = write(tmp_path / "r.csv")
    code, said, _ = shell("import", path)
    assert code == 0 and "--yes does it" in said and "an invitation to bob@roe.org" in said
    _, said, _ = shell("import", path, "--yes")
    assert said.endswith("3 proposals read, 11 changes, 5 invitations sent.\n")
    assert (
        shell("add-proposal", "SOAR2026B-002", "--pi", "bob", "--collaborator", "c@d.org")[0] == 0
    )
    _, said, _ = shell("list")
    assert "SOAR2026B-001  PI ana.nunez, with bob, c: Novae" in said
    assert "SOAR2026B-002  PI bob, with c: " in said
    key = shell("token", "bob", "--label", "laptop")[1].strip()
    _, said, _ = shell("token", "bob", "--list")
    assert said.startswith(f"{key[:8]}...  laptop, made ") and key not in said
    assert shell("reset-password", "bob")[:2] == (0, "")
    assert len(list((tmp_path / "mail").iterdir())) == 6
    archive = Archive(tmp_path)
    people = People.of(archive, hasher=Hasher(**CHEAP))
    assert people.find_user("root").is_superuser
    assert people.use_link(link.partition("#")[2], GOOD).username == "root"
    assert people.user_of_key(key) == people.find_user("bob").id
    assert shell("token", "bob", "--revoke", key)[0] == 0
    assert people.user_of_key(key) is None
    people.close()
    archive.close()


def test_what_goes_wrong_at_the_shell_is_a_line(shell, tmp_path):
    path = write(tmp_path / "r.csv", "soar_id,pi_email\nA1,nobody\n")
    code, said, complaint = shell("import", path, "--yes")
    assert (code, said) == (2, "") and "line 2: 'nobody':" in complaint
    for arguments in (("token", "nobody"), ("add-proposal", "--pi", "nobody")):
        assert shell(*arguments)[::2] == (2, "goodman-live: There is no such user.\n")


def test_secrets_are_in_no_table(people, ana):
    _, key = people.add_token(ana.id)
    secret = people.link(ana.id)
    text = json.dumps(content_of(people), default=lambda row: list(row))
    assert key not in text and secret not in text and GOOD not in text
    assert {len(row.digest) for row in content_of(people)["tokens"]} == {64}
    assert TOKENS.c.digest.name == LINKS.c.digest.name


# The owner of a computer on which nobody signs in


def test_the_owner_is_made_once_and_cannot_sign_in(people):
    owner = people.owner()
    assert people.owner() == owner and owner.is_superuser and owner.is_staff
    assert not people.has_password(owner.id)
    for password in ("", owner.username, "password"):
        with pytest.raises(SignInRefused):
            people.sign_in(owner.username, password)


def test_somebody_of_the_owners_name_does_not_become_the_owner(people):
    import getpass

    other = people.add_user("other@soar.org", username=getpass.getuser())
    owner = people.owner()
    assert owner.id != other.id and owner.username.startswith(other.username)
    assert not people.user(other.id).is_superuser


def test_the_owners_key_holds_for_as_long_as_somebody_is_at_work(people):
    with people.owners_key() as key, people.owners_key() as another:
        assert people.user_of_key(key) == people.user_of_key(another) == people.owner().id
    assert people.user_of_key(key) is None and people.user_of_key(another) is None
