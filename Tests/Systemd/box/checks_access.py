"""Who gets what: users, groups, systemd units, and rules that change under a client that is connected."""
import os

from client import Client
from harness import Held, as_user, code, command, create_connection, output, root_call, test, token_requests, TOOLS

UNIT_FILE = """[Service]
Type=oneshot
User=bob
ExecStart=/usr/bin/python3 {tools}/client.py --close token.get '{{"connection": "{connection}"}}'
StandardOutput=file:/run/answer-{unit}.json
"""


def grant(principal, methods, **more):
    return root_call("access.grant", principal=principal, methods=methods, **more)["id"]


def revoke(rule):
    root_call("access.revoke", rule=rule)


def token_of(answer):
    assert "result" in answer, answer
    return answer["result"]["access_token"]


@test("access", "root creates connections, and gets each one's token")
def connections():
    for name in ("a", "b"):
        create_connection(name)
    with Client() as client:
        for name in ("a", "b"):
            assert client.result("token.get", connection=name)["access_token"].startswith(f"token-of-{name}-")
            assert token_requests(name) == 1


@test("access", "a user without a rule is refused, told who it is and which rule would let it in")
def refused():
    error = as_user("bob", "token.get", connection="a")["error"]
    assert (error["code"], error["data"]["code"], error["data"]["type"]) == (-32005, "ACCESS_DENIED", "access_error")
    assert "bob" in error["message"] + error["data"]["detail"], error
    assert error["data"]["hint"].startswith("fhirctl access grant"), error


@test("access", "the rule that the refusal names does let the caller in")
def hint_works():
    hint = as_user("bob", "token.get", connection="a")["error"]["data"]["hint"]
    command("bash", "-c", hint)
    assert token_of(as_user("bob", "token.get", connection="a")).startswith("token-of-a-")
    for rule in root_call("access.list")["rules"]:
        revoke(rule["id"])
    assert code(as_user("bob", "token.get", connection="a")) == "ACCESS_DENIED"


@test("access", "a connection that is not there and one that is forbidden cannot be told apart")
def no_oracle():
    known = as_user("bob", "token.get", connection="a")["error"]
    unknown = as_user("bob", "token.get", connection="zz")["error"]
    assert known["code"] == unknown["code"] == -32005, (known, unknown)


@test("access", "a member of a granted group is served, also by a supplementary membership; others are not")
def group():
    rule = grant("group:lab", ["token.get"], connections=["a"])
    assert token_of(as_user("alice", "token.get", connection="a")).startswith("token-of-a-")
    assert code(as_user("alice", "token.get", connection="b")) == "ACCESS_DENIED"
    assert code(as_user("alice", "connection.delete", connection="a")) == "ACCESS_DENIED"
    assert code(as_user("bob", "token.get", connection="a")) == "ACCESS_DENIED"
    revoke(rule)
    assert code(as_user("alice", "token.get", connection="a")) == "ACCESS_DENIED"


@test("access", "a member of fhird-admin may do everything")
def admin_group():
    names = {c["connection_name"] for c in as_user("carol", "connection.list")["result"]["connections"]}
    assert {"a", "b"} <= names, names


@test("access", "two services under two units get each its own token, and not the other's")
def units():
    rules = [
        output("fhirctl", "--json", "access", "grant", "--unit", f"{name}.service", "--connection", name,
               "--method", "token.get")
        for name in ("a", "b")]
    assert len(rules) == 2
    for name, other in (("a", "b"), ("b", "a")):
        own = as_user("bob", "token.get", unit=name, connection=name)
        assert token_of(own).startswith(f"token-of-{name}-")
        assert code(as_user("bob", "token.get", unit=name, connection=other)) == "ACCESS_DENIED"
    assert code(as_user("bob", "token.get", unit="c", connection="a")) == "ACCESS_DENIED"


@test("access", "the same holds for installed unit files, and for children of their processes")
def unit_files():
    for name, connection in (("a", "a"), ("a-but-not", "a")):
        with open(f"/run/systemd/system/{name}.service", "w", encoding="utf-8") as file:
            file.write(UNIT_FILE.format(tools=TOOLS, connection=connection, unit=name))
    command("systemctl", "daemon-reload")
    answers = {}
    for name in ("a", "a-but-not"):
        command("systemctl", "start", f"{name}.service")
        with open(f"/run/answer-{name}.json", encoding="utf-8") as file:
            answers[name] = file.read()
        os.unlink(f"/run/systemd/system/{name}.service")
    command("systemctl", "daemon-reload")
    assert "token-of-a-" in answers["a"], answers["a"]
    assert "ACCESS_DENIED" in answers["a-but-not"] and "token-of" not in answers["a-but-not"], answers["a-but-not"]
    child = output(
        "systemd-run", "--quiet", "--pipe", "--wait", "--collect", "--unit=a", "--uid=bob", "/bin/sh", "-c",
        f"""/usr/bin/python3 {TOOLS}/client.py --close token.get '{{"connection": "a"}}'; true""")
    assert "token-of-a-" in child, child


@test("access", "a glob of units covers its instances only")
def unit_glob():
    rule = grant("unit:lab@*.service", ["token.get"], connections=["b"])
    assert token_of(as_user("bob", "token.get", unit="lab@7", connection="b")).startswith("token-of-b-")
    assert code(as_user("bob", "token.get", unit="lab", connection="b")) == "ACCESS_DENIED"
    revoke(rule)


@test("access", "a rule that is revoked while its client is connected holds for its next request; so does a new one")
def revoked_while_connected():
    with Held("bob", unit="held") as client:
        assert code(client.call("token.get", connection="a")) == "ACCESS_DENIED"
        rule = grant("unit:held.service", ["token.get"], connections=["a"])
        assert token_of(client.call("token.get", connection="a")).startswith("token-of-a-")
        assert token_of(client.call("token.get", connection="a")).startswith("token-of-a-")
        revoke(rule)
        assert code(client.call("token.get", connection="a")) == "ACCESS_DENIED"
        assert code(client.call("server.info")) == "ok"


@test("access", "a token that is valid is served to all of them without another request to the server")
def served_from_the_store():
    assert (token_requests("a"), token_requests("b")) == (1, 1)
