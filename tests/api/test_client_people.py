"""One body of tests for two doors to people: `PeopleFor` at the archive, and the client."""

from __future__ import annotations

import contextlib
import inspect
import itertools

import pytest
from conftest import MINE, OTHERS

from goodman_live.access import may
from goodman_live.catalog import RAW
from goodman_live.client import RemoteArchive, connect
from goodman_live.errors import Forbidden, GoodmanError, NotFound, Refused
from goodman_live.people import PeopleFor

_numbers = itertools.count(1)


@pytest.fixture(params=["local", "remote"])
def door(request, site):
    """The door of somebody: `door("pi")`."""
    with contextlib.ExitStack() as stack:

        def opened(who):
            if request.param == "local":
                return PeopleFor(site.archive, site.people, site.users[who].id)
            return stack.enter_context(connect(site.address, site.keys[who]))

        yield opened


def an_address():
    return f"somebody{next(_numbers)}@client.soar.org"


def test_the_client_has_every_method_of_the_door_with_the_same_arguments():
    for name, method in inspect.getmembers(PeopleFor, inspect.isfunction):
        if name.startswith("_") or name in ("may", "require"):
            continue
        theirs = inspect.signature(getattr(RemoteArchive, name)).parameters
        assert list(theirs) == list(inspect.signature(method).parameters), name


def test_who_one_is_and_what_one_may_do_is_the_same(site, door):
    for who in ("root", "pi", "member", "stranger"):
        assert door(who).viewer() == site.people.viewer(site.users[who].id)
    viewer = door("member").viewer()
    assert may(viewer, "see proposal", MINE) and not may(viewer, "see proposal", OTHERS)
    assert door("pi").me() == site.people.user(site.users["pi"].id)


def test_preferences_are_changed_and_kept(door):
    member = door("member")
    assert member.save_preferences({"theme": "light"}).theme == "light"
    assert member.save_preferences({"colour_map": "viridis"}).theme == "light"
    assert member.preferences().colour_map == "viridis"
    with pytest.raises(GoodmanError, match="theme"):
        member.save_preferences({"theme": "pink"})


def test_users_are_added_changed_and_listed(site, door):
    staff, email = door("staff"), an_address()
    added = staff.add_user(email, first_name="New", partner="CHILE")
    assert added.is_new_user and added.problem == "" and added.user.partner == "CHILE"
    assert added.user == site.people.find_user(email)
    changed = staff.change_user(added.user.id, last_name="User", is_active=False)
    assert (changed.full_name, changed.is_active) == ("New User", False)
    assert staff.user(added.user.id) == changed
    assert changed in staff.users(search=email)
    with pytest.raises(Forbidden):
        staff.add_user(an_address(), is_staff=True)
    with pytest.raises(NotFound):
        door("pi").user(added.user.id)
    with pytest.raises(Refused, match="address"):
        staff.add_user("nonsense")


def test_a_link_is_sent_and_a_password_changed(site, door):
    user = site.people.add_user(an_address())
    door("staff").send_reset(user.id)
    with pytest.raises(NotFound):
        door("member").send_reset(user.id)
    site.people.set_password(site.users["member"].id, "a window over Tololo")
    member = door("member")
    with pytest.raises(GoodmanError, match="wrong"):
        member.change_password("not it", "another window, over Pachon")
    with pytest.raises(GoodmanError, match="digits only"):
        member.change_password("a window over Tololo", "31415926535")
    member.change_password("a window over Tololo", "another window, over Pachon")
    assert site.people.sign_in("member", "another window, over Pachon")


def test_tokens_are_told_once_and_revoked(site, door):
    member = door("member")
    token, key = member.add_token("script", days=2)
    assert token in member.tokens() and token in door("root").tokens(token.user_id)
    assert site.people.user_of_key(key) == site.users["member"].id
    with pytest.raises(NotFound):
        door("pi").revoke_token(token.id)
    member.revoke_token(token.id)
    assert site.people.user_of_key(key) is None


def test_proposals_are_added_described_and_given_people(site, door):
    staff = door("staff")
    soar_id = staff.next_soar_id("2027A")
    made = staff.add_proposal(soar_id, pi=site.users["pi"].id, title="Stars")
    assert staff.proposal(soar_id) == made
    assert (made.title, made.pi.username, made.created) == ("Stars", "pi", kept(site, soar_id))
    pi = door("pi")
    assert pi.change_proposal(soar_id, title="Old stars").title == "Old stars"
    with pytest.raises(Forbidden):
        pi.change_proposal(soar_id, semester="2027B")
    assert staff.change_proposal(soar_id, pi=site.users["member"].id).pi.username == "member"
    assert soar_id not in [proposal.soar_id for proposal in pi.proposals()]
    with pytest.raises(NotFound):
        pi.proposal(soar_id)
    email = an_address()
    added = door("member").add_collaborator(soar_id, email, first_name="Vera")
    assert added.is_new_user and added.user.first_name == "Vera"
    assert [user.email for user in staff.proposal(soar_id).collaborators] == [email]
    door("member").remove_collaborator(soar_id, email)
    assert staff.proposal(soar_id).collaborators == ()
    with pytest.raises(Forbidden):
        pi.next_soar_id()
    assert staff.change_proposal(soar_id, pi=site.users["root"].id).pi.username == "root"


def kept(site, soar_id):
    return site.people.proposal(soar_id).created


def test_settings_are_chosen_of_a_proposal_and_of_the_site(site, door):
    member, before = door("member"), site.people.settings(None).changed()
    change = member.save_settings(MINE, {"max_targets": 4, "min_bias_files": 3})
    assert (change.soar_id, change.author, change.values["max_targets"]) == (MINE, "member", 4)
    assert member.settings(MINE).max_targets == 4
    assert member.history_of_settings(MINE) == site.people.history_of_settings(MINE)
    with pytest.raises(GoodmanError, match="max_targets"):
        member.save_settings(MINE, {"max_targets": -4})
    for ask in (member.settings, member.history_of_settings):
        with pytest.raises(Forbidden):
            ask(None)
    staff = door("staff")
    assert staff.save_settings(None, {"trace_order": 4}).soar_id is None
    assert staff.settings(None).trace_order == 4
    site.people.save_settings(None, before, "test")
    site.people.save_settings(MINE, {"min_bias_files": 3, "min_flat_files": 3}, "test")


def test_comments_are_made_edited_and_taken_back(site, door):
    raw = site.row(data_type=RAW, kind="spectrum", proposal=MINE)
    member, pi = door("member"), door("pi")
    said = member.add_comment(raw.id, "Clouds.")
    assert said in pi.comments(raw.id)
    assert may(member.viewer(), "edit comment", said) and not may(pi.viewer(), "edit comment", said)
    assert member.edit_comment(said.id, "Thin clouds.").text == "Thin clouds."
    with pytest.raises(Forbidden):
        pi.edit_comment(said.id, "No clouds.")
    with pytest.raises(NotFound):
        door("stranger").comments(raw.id)
    member.delete_comment(said.id)
    assert said.id not in [comment.id for comment in pi.comments(raw.id)]
