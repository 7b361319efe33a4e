"""Mails: to a folder, and to a real SMTP server on this machine."""

from __future__ import annotations

import email
import email.policy
import logging
import socket
import stat
import subprocess
import sys
import time

import pytest

from goodman_live.mail import (
    FolderMailer,
    Mail,
    MailError,
    SmtpMailer,
    mailer_from_environment,
    mailer_of,
)

MAIL = Mail("ana@host.org", "Your account", "Open https://h/#s3cret now.\n", "Ana Ñuñez", "s3cret")


def parsed(content: bytes):
    return email.message_from_bytes(content, policy=email.policy.default)


@pytest.fixture
def smtp_server(tmp_path):
    """A server in a process of its own; what it took is in a mail directory."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "aiosmtpd", "-n", "-l", f"127.0.0.1:{port}"]
    command += ["-c", "aiosmtpd.handlers.Mailbox", str(tmp_path / "box")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            if process.poll() is not None or time.monotonic() > until:
                raise
            time.sleep(0.05)
    yield port, tmp_path / "box" / "new"
    process.terminate()
    process.wait(60)


def test_a_server_gets_the_mail_as_it_was_written(smtp_server):
    port, box = smtp_server
    mailer_of(f"smtp://127.0.0.1:{port}", "archive@soar.org").send(MAIL)
    (path,) = box.iterdir()
    message = parsed(path.read_bytes())
    assert message["To"].addresses[0].addr_spec == "ana@host.org"
    assert message["To"].addresses[0].display_name == "Ana Ñuñez"
    assert message["From"] == "archive@soar.org" and message["Subject"] == "Your account"
    assert "https://h/#s3cret" in message.get_content()
    assert message["Message-ID"].endswith("@soar.org>") and message["Date"].datetime is not None


def test_a_server_that_is_away_is_told_of_without_the_secret():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        mailer = SmtpMailer("127.0.0.1", probe.getsockname()[1])
        with pytest.raises(MailError, match=r"was not taken by 127\.0\.0\.1:") as told:
            mailer.send(MAIL)
    assert "s3cret" not in str(told.value)


def test_a_folder_gets_a_file_that_only_its_owner_reads_and_the_log_shows_it(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    FolderMailer(tmp_path / "mail").send(MAIL)
    FolderMailer(tmp_path / "mail").send(MAIL)
    first, _ = sorted((tmp_path / "mail").iterdir())
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    assert stat.S_IMODE(first.parent.stat().st_mode) == 0o700
    assert "https://h/#s3cret" in parsed(first.read_bytes()).get_content()
    assert "ana@host.org" in caplog.text and "https://h/#[secret]" in caplog.text
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize(
    "wrong",
    [
        {"to": "ana@host.org\nBcc: all@host.org"},
        {"to": "ana@host.org\r\nBcc: all@host.org"},
        {"to": "ana@host.org, all@host.org"},
        {"to": "nobody"},
        {"to": ""},
        {"name": "Ana\r\nBcc: all@host.org"},
        {"name": "Ana\x00"},
        {"name": "Ana\u2028Bcc: all@host.org"},
        {"subject": "Hello\nBcc: all@host.org"},
        {"subject": "Hello\r\n\r\nAnother text"},
    ],
)
def test_no_address_name_or_subject_adds_a_header(tmp_path, wrong):
    values = {"to": "ana@host.org", "subject": "Hello", "text": "", "name": "Ana"} | wrong
    with pytest.raises(MailError, match="cannot be written"):
        FolderMailer(tmp_path / "mail").send(Mail(**values))
    assert not (tmp_path / "mail").exists()


def test_a_name_with_commas_and_brackets_stays_one_name(tmp_path):
    FolderMailer(tmp_path).send(Mail("a@b.org", "Hi", "", name='Eve <x@y.org>, "Z" ;'))
    (path,) = tmp_path.iterdir()
    (address,) = parsed(path.read_bytes())["To"].addresses
    assert (address.addr_spec, address.display_name) == ("a@b.org", 'Eve <x@y.org>, "Z" ;')


def test_the_environment_says_where_mails_go(tmp_path):
    assert mailer_from_environment(tmp_path, {}).folder == tmp_path
    url = "smtp+starttls://us%40er:p%3Aw@mail.soar.org"
    names = {"GOODMAN_LIVE_MAIL": url, "GOODMAN_LIVE_MAIL_FROM": "archive@soar.org"}
    mailer = mailer_from_environment(tmp_path, names)
    assert (mailer.host, mailer.port, mailer.user, mailer.password) == (
        "mail.soar.org",
        587,
        "us@er",
        "p:w",
    )
    assert mailer.sender == "archive@soar.org"
    assert mailer_of("smtps://mail.soar.org").port == 465
    assert mailer_of(f"file://{tmp_path}/a%20b").folder == tmp_path / "a b"


@pytest.mark.parametrize("url", ["", "mail.soar.org", "smtp://", "smtp://h:x", "http://h", "file:"])
def test_other_urls_are_refused_in_words(url):
    with pytest.raises(MailError, match="Mail must go to a URL such as"):
        mailer_of(url)


def test_a_password_is_never_sent_in_the_clear():
    with pytest.raises(MailError, match="in the clear") as told:
        mailer_of("smtp://user:hidden@mail.soar.org")
    assert "hidden" not in str(told.value)
