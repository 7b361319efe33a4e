"""Who may do what: every operation by every role, and that lists tell no more than files do."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import fields, replace

import pytest
from access_world import CASES, INFO, MINE, OTHERS, PEOPLE, make_world

from goodman_live import access
from goodman_live.access import ANYONE, TABLE, Role, Viewer, may, roles_of, visible
from goodman_live.catalog import FACETS, Archive, Filter
from goodman_live.catalog.index import index_archive
from goodman_live.errors import Forbidden, GoodmanError, NotFound, Refused, SignInNeeded
from goodman_live.people import ArchiveFor, PeopleFor
from goodman_live.simulate import SetUp, write_night


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def world(request, tmp_path_factory):
    url = None
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql_server").new_database()
    world = make_world(tmp_path_factory.mktemp("world"), url)
    yield world
    world.people.close()
    world.archive.close()


class Door:
    """All that somebody can do in Python, by the names that the cases have."""

    def __init__(self, world, who):
        self.world, self.who = world, who
        user_id = world.user_id(who)
        self.files = ArchiveFor(world.archive, world.people, user_id)
        self.people = PeopleFor(world.archive, world.people, user_id)

    def do(self, name):
        """Do what a case is called."""
        verb, _, thing = name.partition(" ")
        whole = getattr(self, name.replace(" ", "_"), None)
        return whole() if whole else getattr(self, f"{verb}_")(thing)

    def number(self, thing):
        return self.world.files[thing].id

    def user(self, name):
        return self.world.users[name].id

    # Files

    def see_(self, thing):
        if thing in ("member", "staff"):
            return self.people.user(self.user(thing))
        return self.files.file(self.number(thing))

    def see_nothing(self):
        self.files.file(10_000_000)

    def download_(self, thing):
        assert self.files.path(self.world.files[thing]).read_bytes()

    def children_of_spectrum_of_mine(self):
        assert self.files.children(self.number("spectrum of mine"))

    def runs_of_spectrum_of_mine(self):
        self.files.runs(self.number("spectrum of mine"))

    def reduce_(self, thing):
        self.files.permitted("reduce file", self.number(thing))

    def delete_product_of_mine(self):
        row = self.world.add_product(self.world.files["spectrum of mine"])
        self.files.delete_product(row.id)
        assert not self.world.archive.path(row).exists()

    def delete_master(self):
        self.files.delete_product(self.world.add_master().id)

    def restore_product_of_mine(self):
        row = self.world.add_product(self.world.files["spectrum of mine"])
        self.world.archive.delete_product(row.id)
        assert self.files.restore_product(row.id).id == row.id

    def restore_master(self):
        row = self.world.add_master()
        self.world.archive.delete_product(row.id)
        self.files.restore_product(row.id)

    def assign_(self, thing):
        raw = self.world.files[thing]
        try:
            self.files.assign(raw.id, OTHERS)
        finally:
            self.world.archive.assign(raw.id, raw.proposal)

    def dismiss_unreadable(self):
        self.files.dismiss(self.world.add_unreadable().id)

    def import_people(self):
        text = "soar_id,pi_email\nSOAR2032A-001,new@host.org\n"
        assert self.people.import_people(text).changes

    def add_file(self):
        self.files.require("add file")

    # Comments

    def comment_(self, thing):
        self.people.add_comment(self.number(thing), "A fine frame.")

    def read_comments_of_mine(self):
        self.people.comments(self.number("spectrum of mine"))

    def member_comment(self):
        people, file_id = self.world.people, self.number("spectrum of mine")
        return people.add_comment(file_id, self.user("member"), "Clouds.").id

    def edit_comment_of_member(self):
        self.people.edit_comment(self.member_comment(), "Thin clouds.")

    def delete_comment_of_member(self):
        self.people.delete_comment(self.member_comment())

    # Proposals

    def see_proposal_of_mine(self):
        self.people.proposal(MINE)

    def see_no_proposal(self):
        self.people.proposal("SOAR2019A-001")

    def describe_proposal_of_mine(self):
        self.people.change_proposal(MINE, title="Better")

    def change_semester_of_mine(self):
        self.people.change_proposal(MINE, semester="2026B")

    def add_proposal(self):
        self.people.add_proposal(f"SOAR2027A-{self.world.number()}")

    def add_collaborator(self):
        self.people.add_collaborator(MINE, f"c{self.world.number()}@host.org")

    def remove_collaborator(self):
        email = f"c{self.world.number()}@host.org"
        self.world.people.add_collaborator(MINE, email)
        self.people.remove_collaborator(MINE, email)

    def see_settings_of_mine(self):
        self.people.settings(MINE)
        self.people.history_of_settings(MINE)

    def edit_settings_of_mine(self):
        self.people.save_settings(MINE, {"ignore_flats": True})

    def see_site_settings(self):
        self.people.settings(None)
        self.people.history_of_settings(None)

    def edit_site_settings(self):
        self.people.save_settings(None, {})

    # Users

    def list_users(self):
        self.people.users()

    def add_user(self):
        self.people.add_user(f"u{self.world.number()}@host.org")

    def add_staff_user(self):
        self.people.add_user(f"u{self.world.number()}@host.org", is_staff=True)

    def rename_(self, name):
        self.people.change_user(self.user(name), first_name="Ana")

    def move_address_of_root(self):
        self.people.change_user(self.user("root"), email="root@host.org")

    def stop_member(self):
        try:
            self.people.change_user(self.user("member"), is_active=False)
        finally:
            self.world.people.change_user(self.user("member"), is_active=True)

    def make_member_staff(self):
        try:
            self.people.change_user(self.user("member"), is_staff=True)
        finally:
            self.world.people.change_user(self.user("member"), is_staff=False)

    def reset_(self, thing):
        self.people.send_reset(self.user(thing.removeprefix("password of ")))

    def tokens_(self, thing):
        self.people.tokens(self.user(thing.removeprefix("of ")))

    def revoke_(self, thing):
        user_id = self.user(thing.removeprefix("token of "))
        self.people.revoke_token(self.world.people.add_token(user_id)[0].id)

    def add_token(self):
        assert len(self.people.add_token()[1]) == 40

    def own_preferences(self):
        self.people.save_preferences({"theme": "light"})
        assert self.people.preferences().theme == "light"

    # The rest

    def read_events(self):
        self.files.events_since(0)
        self.files.last_event()

    def read_logs(self):
        self.files.require("read logs")

    def send_mail(self):
        self.files.require("send mail")

    def see_status(self):
        self.files.require("see status")


def outcome(door, name):
    try:
        door.do(name)
    except SignInNeeded:
        return "sign in"
    except Forbidden:
        return "refused"
    except NotFound:
        return "not found"
    return "done"


@pytest.mark.parametrize("who", PEOPLE)
def test_everybody_may_do_what_the_cases_say_and_nothing_else(world, who):
    door = Door(world, who)
    wanted = {name: result for name, person, result in CASES if person == who}
    assert {name: outcome(door, name) for name in wanted} == wanted


def test_absent_and_forbidden_are_told_in_the_same_words(world):
    files = Door(world, "stranger").files
    number = world.files["spectrum of mine"].id
    asks = [files.file, files.children, files.runs, files.delete_product, files.restore_product]
    asks += [lambda number: files.path(replace(world.files["master"], id=number))]
    for ask in asks:
        with pytest.raises(NotFound) as forbidden:
            ask(number)
        with pytest.raises(NotFound) as absent:
            ask(10_000_000)
        assert str(forbidden.value).replace(str(number), "N") == str(absent.value).replace(
            "10000000", "N"
        )


def test_the_table_names_roles_and_knows_no_other_actions():
    assert all(isinstance(role, Role) for roles in TABLE.values() for role in roles)
    with pytest.raises(KeyError):
        may(ANYONE, "fly")
    for name, roles in TABLE.items():
        assert Role.SUPERUSER in roles or roles == {Role.OWNER}, name


def seen_one_by_one(world, door):
    """What somebody can open of all files that there are."""
    found = set()
    for row in world.archive.files(Filter(), limit=10_000):
        with contextlib.suppress(NotFound):
            found.add(door.files.file(row.id).id)
    return found


@pytest.mark.parametrize("who", ["root", "staff", "pi", "member", "stranger"])
def test_lists_counts_choices_and_search_know_just_the_files_that_can_be_opened(world, who):
    door = Door(world, who)
    mine = seen_one_by_one(world, door)
    rows = door.files.files(Filter(), limit=10_000)
    assert {row.id for row in rows} == mine and mine
    assert door.files.count(Filter()) == len(mine) == door.files.page(Filter()).count
    for column in (*FACETS, "night"):
        counts = {}
        for row in rows:
            counts[getattr(row, column)] = counts.get(getattr(row, column), 0) + 1
        assert door.files.choices(column) == counts
    found = door.files.files(Filter(text="spectrum"), limit=10_000)
    assert {row.id for row in found} == {row.id for row in rows if "spectrum" in row.file_name}
    assert door.files.count(Filter(text="spectrum")) == len(found)
    named = door.files.choices("proposal", Filter(text=".fits"))
    assert sum(named.values()) == len(mine)
    assert door.files.n_frames(calibrations=None) == len(
        door.files.frames(calibrations=None, limit=10_000)
    )
    assert {row.kind for row in door.files.masters()} == {"bias"}


def test_a_filter_cannot_widen_what_somebody_sees(world):
    files = Door(world, "stranger").files
    assert files.count(Filter(proposal=MINE, calibrations=False)) == 0
    assert files.count(Filter(proposal=("", MINE), kind="spectrum")) == 0
    everything = visible(Viewer(1, "root", is_superuser=True))
    assert everything is None
    assert files.count(Filter(within=everything)) == files.count(Filter())


@pytest.mark.parametrize("who", ["root", "pi", "member", "stranger"])
def test_events_tell_of_just_the_files_that_can_be_opened(world, who):
    door = Door(world, who)
    mine = seen_one_by_one(world, door)
    there = {row.id: row for row in world.archive.files(Filter(), limit=10_000)}
    deleted = {row.id: row for row in world.archive.removed()}
    for event in door.files.events_since(0, 100_000):
        if event.file_id in there:
            assert event.file_id in mine
        elif event.file_id in deleted:
            assert door.files.may("see file", deleted[event.file_id])
        else:
            assert who == "root" or event.proposal in (MINE if who != "stranger" else OTHERS)
    told = {event.file_id for event in door.files.events_since(0, 100_000)}
    assert mine <= told


def test_an_event_of_a_file_that_is_no_more_is_not_told_to_who_sees_its_successor(world):
    raw = world.files["spectrum of others"]
    secret = world.add_product(raw)
    world.archive.forget_product(secret)
    successor = world.add_product(world.files["spectrum of mine"])
    if world.archive.database.dialect.name == "sqlite":
        assert successor.id == secret.id  # numbers are given again
    texts = [event.text for event in Door(world, "pi").files.events_since(0, 100_000)]
    assert secret.file_name not in " ".join(texts)
    world.archive.forget_product(successor)


def test_who_follows_hears_of_own_files_and_no_longer_after_leaving(world):
    people, archive = world.people, world.archive
    people.add_collaborator(MINE, "stranger@host.org")
    files, stop = Door(world, "stranger").files, threading.Event()
    seen, since = [], files.last_event()
    follower = threading.Thread(
        target=lambda: seen.extend(event.file_id for event in files.follow(since, stop))
    )
    follower.start()
    try:
        hidden = world.add_frame(proposal="")
        shown = world.add_frame()
        wait_for(lambda: shown.id in seen)
        people.remove_collaborator(MINE, "stranger@host.org")
        no_more = world.add_frame()
        own = world.add_frame(proposal=OTHERS)
        wait_for(lambda: own.id in seen)
    finally:
        stop.set()
        follower.join(60)
    assert hidden.id not in seen and no_more.id not in seen
    assert archive.file(no_more.id).proposal == MINE


def wait_for(condition):
    waiting = threading.Event()
    for _ in range(3000):
        if condition():
            return
        waiting.wait(0.02)
    raise AssertionError("it did not happen")


def test_a_change_of_rights_takes_effect_at_the_next_question(world):
    door, number = Door(world, "stranger"), world.files["spectrum of mine"].id
    with pytest.raises(NotFound):
        door.files.file(number)
    world.people.add_collaborator(MINE, "stranger@host.org")
    assert door.files.file(number).id == number
    world.people.remove_collaborator(MINE, "stranger@host.org")
    with pytest.raises(NotFound):
        door.files.file(number)
    world.people.change_user(world.users["stranger"].id, is_active=False)
    with pytest.raises(SignInNeeded):
        door.files.file(number)
    world.people.change_user(world.users["stranger"].id, is_active=True)


def test_an_assigned_frame_takes_its_products_along_and_keeps_its_proposal(world):
    raw = world.add_frame(proposal="")
    product = world.add_product(raw)
    staff, pi = Door(world, "staff"), Door(world, "pi")
    with pytest.raises(NotFound):
        pi.files.file(product.id)
    with pytest.raises(Refused, match="must be a raw frame"):
        staff.files.assign(product.id, MINE)
    with pytest.raises(NotFound, match="no proposal SOAR2019A-009"):
        staff.files.assign(raw.id, "SOAR2019A-009")
    staff.files.assign(raw.id, MINE)
    assert pi.files.file(raw.id).proposal == pi.files.file(product.id).proposal == MINE
    told = [e for e in pi.files.events_since(0, 100_000) if e.type == "assigned"]
    assert told[-1].file_id == raw.id
    # Made or found again, it stays where it was put, and so does what is made of it.
    world.archive.add_raw(world.archive.path(raw), INFO)
    world.archive.add_product(world.archive.path(product), 4, INFO, original_id=raw.id)
    assert pi.files.file(raw.id).proposal == pi.files.file(product.id).proposal == MINE
    assert pi.files.count(Filter(proposal=MINE)) == len(
        [r for r in world.archive.files(Filter(), limit=10_000) if r.proposal == MINE]
    )


def test_an_assignment_outlives_a_rebuilt_index(tmp_path):
    archive = Archive(tmp_path)
    setup = SetUp.preset("400_M2").window(20)
    folder = tmp_path / "20260315" / "RAW"
    write_night(folder, setup=setup, n_bias=1, n_flat=0, n_arc=0, n_science=0, proposals=["P"])
    list(index_archive(archive))
    (row,) = archive.files(Filter())
    archive.assign(row.id, MINE)
    list(index_archive(archive))
    assert archive.file(row.id).proposal == MINE
    archive.close()


def test_only_what_really_lies_in_the_archive_is_handed_out(world, tmp_path):
    files = Door(world, "root").files
    secret = tmp_path / "secret.fits"
    secret.write_bytes(b"secret")
    raw = world.add_frame()
    path = world.archive.path(raw)
    path.unlink()
    with pytest.raises(NotFound):
        files.path(raw)
    path.symlink_to(secret)
    with pytest.raises(NotFound):
        files.path(raw)
    outside = world.archive.add_raw(secret, INFO)
    assert outside.folder.startswith("/")
    with pytest.raises(NotFound):
        files.path(outside)


def test_a_raw_frame_is_never_deleted_whoever_asks(world):
    for who in ("root", "staff", "pi", "member"):
        with pytest.raises(GoodmanError, match="never deleted"):
            Door(world, who).files.delete_product(world.files["spectrum of mine"].id)
    assert world.archive.path(world.files["spectrum of mine"]).exists()


def test_a_proposal_is_named_exactly_as_its_frames_name_it():
    pi = Viewer(1, "pi", leads=frozenset({MINE}))
    assert may(pi, "see proposal", MINE)
    for other in (MINE.lower(), MINE + " ", MINE + "1", ""):
        assert not may(pi, "see proposal", other)
    assert roles_of(pi, MINE) == {Role.STRANGER, Role.PI}
    assert roles_of(ANYONE, MINE) == {Role.ANONYMOUS}


def test_the_archive_of_somebody_has_all_that_pages_ask_of_an_archive():
    asked = ("page", "files", "count", "choices", "frames", "n_frames", "masters", "file",
             "children", "path", "runs", "last_event", "events_since", "follow")  # fmt: skip
    for name in asked:
        assert callable(getattr(ArchiveFor, name)) and callable(getattr(Archive, name))
    assert "within" in {field.name for field in fields(Filter)}
    assert access.visible(ANYONE).proposals == () == access.visible(ANYONE).kinds
