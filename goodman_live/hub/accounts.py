"""Accounts of the machine, one for each person; they are made, and become, by sudo.

`hub_config/sudoers` allows exactly what is here.
"""

from __future__ import annotations

GROUP = "goodman-people"  # of all of them


def name(number: int) -> str:
    """The account of a person, by the number that is never given again."""
    return f"goodman-{number}"


def making(account: str) -> list[str]:
    """What root does to make an account."""
    argv = ["/usr/sbin/useradd", "--user-group", "--groups", GROUP, "--create-home"]
    return [*argv, "--key", "HOME_MODE=0700", "--shell", "/usr/sbin/nologin", account]
