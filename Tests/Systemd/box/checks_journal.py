"""What the journal says: structured, with the right priorities, and nothing secret."""
import json
import re

from client import Client
from harness import as_user, behave, create_connection, journal, journal_cursor, output, root_call, test, wait_for

# Every secret that was in use, whole or in a part long enough to be recognized. Tokens: see tokenserver.py.
SECRET = re.compile(r"secret-of-\w+|token-of-\w+-\d+-x+|c2VjcmV0LW9m")


def events(entries):
    return [entry for entry in entries if "FHIRD_EVENT" in entry]


@test("journal", "a new connection, its token and a refusal each leave an entry with fields")
def fields():
    cursor = journal_cursor()
    connection = create_connection("journal")["id"]
    root_call("token.get", connection="journal")
    as_user("bob", "token.get", connection="journal")
    entries = wait_for("three events", lambda: (lambda e: e if len(e) >= 3 else None)(events(journal(cursor))))
    assert any(connection in entry.get("FHIRD_CONNECTION", "") for entry in entries), "no entry names the connection"
    refusals = [entry for entry in entries if "bob" in str(entry) or "token.get" in entry.get("FHIRD_METHOD", "")]
    assert refusals, "the refusal left no entry"
    assert any("FHIRD_CALLER" in entry for entry in refusals), refusals[0]


@test("journal", "a refresh that fails is a warning with status and attempt, and not an error for ever")
def failure():
    cursor = journal_cursor()
    behave(status=503)
    try:
        create_connection("failing")
        with Client() as client:
            client.error("token.refresh", connection="failing")
        entries = wait_for("an entry", lambda: [
            e for e in events(journal(cursor)) if e.get("FHIRD_STATUS") == "503" or "503" in e.get("FHIRD_DETAIL", "")])
    finally:
        behave(status=200)
    assert {entry["PRIORITY"] for entry in entries} <= {"3", "4"}, [e["PRIORITY"] for e in entries]


@test("journal", "messages are fixed sentences; what varies stands in fields with upper-case names")
def structure():
    entries = [e for e in journal() if e.get("_COMM") == "fhird" and e.get("_TRANSPORT") == "journal"]
    assert entries, "the daemon wrote nothing through the journal's own protocol"
    for entry in entries:
        message = entry["MESSAGE"]
        assert isinstance(message, str) and message and "\n" not in message, entry
        assert not re.search(r"https?://|[0-9a-f]{8}-[0-9a-f]{4}", message), message
        assert entry["PRIORITY"] in "234567" and len(entry["PRIORITY"]) == 1, entry
        for name in entry:
            assert name == name.upper(), name
    named = {name for entry in entries for name in entry if name.startswith("FHIRD_")}
    assert {"FHIRD_EVENT", "FHIRD_CONNECTION"} <= named, named


@test("journal", "entries of one kind carry the same sentence")
def sentences():
    kinds = {}
    for entry in events(journal()):
        kinds.setdefault(entry["FHIRD_EVENT"], set()).add(entry["MESSAGE"])
    assert kinds and all(len(messages) <= 3 for messages in kinds.values()), kinds


@test("journal", "nothing secret is in it, at the most talkative level")
def secrets():
    def refreshed():
        with Client() as client:
            return "result" in client.call("token.refresh", connection="journal")

    wait_for("a refresh, a second after the last one", refreshed)
    everything = output("journalctl", "--output=json", "--all", "--no-pager", "_COMM=fhird")
    assert everything.count("\n") > 20, "the journal is too short to prove anything"
    assert any(json.loads(line).get("PRIORITY") == "7" for line in everything.splitlines()), "no debug entries"
    found = SECRET.search(everything)
    assert not found, found[0][:12]
    key = output("fhird-make-key", "--export")
    assert key not in everything
