"""Proposals, who works on them, and by what settings their frames are reduced."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request

from ..errors import Forbidden, NotFound
from ..people.entries import Proposal
from ..recipes import ReductionSettings
from .bodies import body_as, described
from .caller import Asker, Caller
from .models import Text, given
from .people_models import (
    ChangedProposal,
    Collaboration,
    Collaborators,
    NewProposal,
    NextSoarId,
    ProposalOut,
    Roster,
    RosterOut,
    SettingsOut,
)
from .schema_of import schema_of
from .told import collaborators_out, proposal_out

router = APIRouter(tags=["proposals"])
Id = Annotated[str, Path(max_length=64, description="number or SOAR id of a proposal")]
_COLLABORATION = Annotated[Collaboration, Depends(body_as(Collaboration))]


@router.get("/proposals/", summary="The proposals that one may see")
def list_proposals(asker: Asker) -> list[ProposalOut]:
    """The newest semester first."""
    return [proposal_out(proposal) for proposal in asker.people.proposals()]


@router.post("/proposals/", status_code=201, summary="Add a proposal")
def add_proposal(asker: Asker, body: NewProposal) -> ProposalOut:
    """For staff."""
    asker.people.require("add proposal")
    values = dict(given(body))
    pi = values.pop("user", None)
    soar_id = values.pop("soar_id", None) or asker.people.next_soar_id(values.get("semester", ""))
    return proposal_out(asker.people.add_proposal(soar_id, pi=pi, **values))


@router.get("/proposals/next/", summary="The SOAR id of the next proposal")
def next_soar_id(asker: Asker, semester: Annotated[Text, Query()] = "") -> NextSoarId:
    """For staff; of the present semester, if none is given."""
    return NextSoarId(soar_id=asker.people.next_soar_id(semester))


@router.post("/proposals/import/", summary="Register a semester's proposals and people")
def import_people(asker: Asker, body: Roster) -> RosterOut:
    """For staff, of a CSV file: all of it or, if a row is bad, nothing. First say `dry`."""
    return RosterOut(**asdict(asker.people.import_people(body.csv, dry=body.dry)))


@router.get("/proposals/{proposal_id}/", summary="One proposal")
def one_proposal(asker: Asker, proposal_id: Id) -> ProposalOut:
    return proposal_out(_named(asker, proposal_id))


@router.patch("/proposals/{proposal_id}/", summary="Change a proposal")
def change_proposal(asker: Asker, proposal_id: Id, body: ChangedProposal) -> ProposalOut:
    """Title and abstract by the PI; semester, PI and SOAR id by staff."""
    values = dict(given(body))
    pi = values.pop("user", None)
    soar_id = _named(asker, proposal_id).soar_id
    return proposal_out(asker.people.change_proposal(soar_id, pi=pi, **values))


def _named(asker: Asker, name: str) -> Proposal:
    """A proposal by its number or its SOAR id."""
    for proposal in asker.people.proposals():
        if name in (str(proposal.id), proposal.soar_id):
            return proposal
    raise NotFound("There is no such proposal.")


@router.post(
    "/proposals/collaborators/{proposal_id}/",
    summary="Add a collaborator, or take one out",
    openapi_extra=described(Collaboration),
)
def change_collaborators(asker: Asker, proposal_id: Id, body: _COLLABORATION) -> Collaborators:
    """By the e-mail address; who has no account yet gets one, and an invitation."""
    soar_id, added = _named(asker, proposal_id).soar_id, None
    if body.action == "add":
        about = body.model_dump(exclude={"email", "action"}, exclude_none=True)
        added = asker.people.add_collaborator(soar_id, body.email, **about)
    else:
        asker.people.remove_collaborator(soar_id, body.email)
    return collaborators_out(asker.people.proposal(soar_id), added)


def _change_as_of_old(
    request: Request, asker: Asker, proposal_id: Id, body: _COLLABORATION
) -> Collaborators:
    if "authorization" not in request.headers:  # a page of a hub shows a cookie only
        raise Forbidden("To change collaborators with a GET, send your key in the header.")
    return change_collaborators(asker, proposal_id, body)


# As the manual of the predecessor has it. It changes something though it is a GET, which is
# safe only because a key in the header is asked for, which no page of others can send.
router.add_api_route(
    "/proposals/collaborators/{proposal_id}/",
    _change_as_of_old,
    methods=["GET"],
    include_in_schema=False,
)


@router.get("/proposals/{proposal_id}/settings/", summary="Reduction settings of a proposal")
def settings(asker: Asker, proposal_id: Id) -> SettingsOut:
    """The settings, who chose them when, and what they may be, as a JSON schema."""
    return _settings(asker, _named(asker, proposal_id).soar_id)


def _settings(asker: Caller, soar_id: str | None) -> SettingsOut:
    history = asker.people.history_of_settings(soar_id)
    return SettingsOut(
        proposal=soar_id,
        settings=asker.people.settings(soar_id).to_dict(),
        history=[asdict(change) for change in history],
        json_schema=schema_of(ReductionSettings),
    )


@router.post("/proposals/{proposal_id}/settings/", summary="Choose reduction settings")
def save_settings(asker: Asker, proposal_id: Id, values: dict[str, Any]) -> SettingsOut:
    """Those that are left out are those of the site."""
    soar_id = _named(asker, proposal_id).soar_id
    asker.people.save_settings(soar_id, values)
    return _settings(asker, soar_id)


@router.get("/settings/", summary="Reduction settings of the site")
def site_settings(asker: Asker) -> SettingsOut:
    """For staff: by what all frames are reduced whose proposal does not say otherwise."""
    return _settings(asker, None)


@router.post("/settings/", summary="Choose reduction settings of the site")
def save_site_settings(asker: Asker, values: dict[str, Any]) -> SettingsOut:
    """For staff."""
    asker.people.save_settings(None, values)
    return _settings(asker, None)
