"""The master key: sealed by the host, needed, not to be replaced by another; and what uninstall leaves."""
import base64
import glob
import os

from harness import (
    command, create_connection, journal, journal_cursor, main_pid, output, root_call, show, test, token_requests,
    wait_for)

KEY = "/etc/credstore.encrypted/fhird.key"


def start_fails():
    """Starts the service; gives what it said. The socket is stopped meanwhile, or a client would try again."""
    cursor = journal_cursor()
    command("systemctl", "reset-failed", "fhird.service", check=False)
    done = command("systemctl", "start", "fhird.service", check=False)
    assert done.returncode != 0 and show("ActiveState") != "active", "it started"
    text = " ".join(str(v) for e in journal(cursor) for k, v in e.items() if k == "MESSAGE" or k.startswith("FHIRD_"))
    command("systemctl", "stop", "fhird.service")
    command("systemctl", "reset-failed", "fhird.service", check=False)
    return text


def state():
    """Every file of the store with its bytes; the lock files may change."""
    return {path: open(path, "rb").read() for path in glob.glob("/var/lib/fhird/**", recursive=True)
            if os.path.isfile(path) and "lock" not in os.path.basename(path)}


@test("key", "the host key opens it, and the daemon gets it as a credential")
def credential():
    create_connection("key")
    root_call("token.get", connection="key")
    assert "host key" in output("fhird-make-key")
    directory = f"/run/credentials/fhird.service"
    assert os.path.getsize(f"{directory}/fhird.key") == 32
    assert show("LoadCredentialEncrypted"), "not by LoadCredentialEncrypted="


@test("key", "neither the key nor a secret, a token or a name is in the store's files or in the environment")
def nothing_in_the_clear():
    key = base64.b64decode(output("fhird-make-key", "--export"))
    with open(f"/proc/{main_pid()}/environ", "rb") as file:
        places = {"environ": file.read()}
    places.update(state())
    assert len(places) > 1
    wanted = [key, key.hex().encode(), base64.b64encode(key), b"secret-of-key", b"token-of-key-", b"127.0.0.1:8480"]
    for place, content in places.items():
        for secret in wanted:
            assert secret not in content, f"{place} has {secret[:9]!r}"


@test("key", "without the key the daemon does not start, makes no other, and names the cure")
def missing():
    command("systemctl", "stop", "fhird.socket", "fhird.service")
    os.rename(KEY, KEY + ".away")
    try:
        before = state()
        text = start_fails()
        assert "fhird-make-key" in text, text
        assert state().keys() == before.keys(), "it made files"
    finally:
        os.rename(KEY + ".away", KEY)


@test("key", "with another key the daemon does not start, changes nothing, and says so")
def other():
    os.rename(KEY, KEY + ".away")
    try:
        command("fhird-make-key")
        before = state()
        text = start_fails()
        assert "key" in text, text
        assert state() == before, "it wrote to the store"
    finally:
        os.replace(KEY + ".away", KEY)


@test("key", "with the right key again, everything is there")
def back():
    requests = token_requests("key")
    command("systemctl", "start", "fhird.socket", "fhird.service")
    assert root_call("token.get", connection="key")["access_token"].startswith("token-of-key-")
    assert token_requests("key") == requests


@test("key", "a key that was exported and imported opens the store")
def exported():
    line = output("fhird-make-key", "--export")
    refused = command("fhird-make-key", "--import", stdin=line + "\n", check=False)
    assert refused.returncode == 1 and "exists" in refused.stderr, refused
    command("systemctl", "stop", "fhird.socket", "fhird.service")
    os.unlink(KEY)
    command("fhird-make-key", "--import", stdin=line + "\n")
    command("systemctl", "start", "fhird.socket", "fhird.service")
    assert root_call("connection.get", connection="key")["connection_name"] == "key"


@test("key", "make uninstall stops it, takes the programs away and leaves state, key and settings")
def uninstall():
    said = output("make", "uninstall")
    wait_for("the daemon is gone", lambda: show("ActiveState") in ("inactive", "failed"))
    for path in ("/usr/local/bin/fhird", "/usr/local/lib/systemd/system/fhird.service", "/run/fhird/fhird.pid"):
        assert not os.path.exists(path), path
    for path in (KEY, "/etc/fhird/fhird.env", "/var/lib/fhird"):
        assert os.path.exists(path) and (os.path.dirname(path) in said or path in said), path
