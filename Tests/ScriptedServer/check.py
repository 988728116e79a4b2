#!/usr/bin/env python3
"""Drives everything the scripted server does for logins, over HTTP.   check.py      ends with "N passed, 0 failed" """
import base64
import concurrent.futures
import gzip
import hashlib
import http.client
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE.parent / "Peers" / "lib"))
import jose  # noqa: E402

BACK = "http://127.0.0.1:8765/callback"
SECRET = "a-secret"
TESTS = []
SECONDS = 20  # for any one wait


def test(function):
    TESTS.append(function)
    return function


class Server:
    def __init__(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-B", str(HERE / "server.py")], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        ports = json.loads(self.process.stdout.readline())
        self.port, self.control_port = ports["port"], ports["control_port"]
        self.origin = f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self.process.stdin.close()
        self.process.wait(SECONDS)

    def send(self, port: int, method: str, path: str, body: str = "", headers=None) -> tuple:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
        try:
            connection.request(method, path, body, headers or {})
            reply = connection.getresponse()
            return reply.status, reply.headers, reply.read().decode()
        finally:
            connection.close()

    def control(self, method: str, path: str, body=None) -> dict:
        status, _, text = self.send(self.control_port, method, "/_control/" + path,
                                    json.dumps(body) if body is not None else "")
        assert status == 200, text
        return json.loads(text)

    def set(self, **settings) -> None:
        self.control("POST", "settings", settings)

    def rule(self, **rule) -> None:
        self.control("POST", "rules", rule)

    def stats(self) -> dict:
        return self.control("GET", "stats")

    def last(self, path: str) -> dict:
        return [e for e in self.control("GET", "log")["entries"] if e["path"] == path][-1]

    def post(self, path: str, basic=("a", SECRET), bearer=None, **form) -> tuple:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if bearer:
            headers["Authorization"] = "Bearer " + bearer
        elif basic:
            headers["Authorization"] = "Basic " + base64.b64encode(":".join(basic).encode()).decode()
        status, _, text = self.send(self.port, "POST", path, urllib.parse.urlencode(form), headers)
        return status, json.loads(text) if text.startswith("{") else text

    def read(self, token: str, tenant: str = "") -> int:
        return self.send(self.port, "GET", tenant + "/fhir/Patient/1", "", {"Authorization": "Bearer " + token})[0]

    # A login ---------------------------------------------------------------------------------------------------------

    def parameters(self, tenant: str = "", **changes) -> tuple:
        verifier = secrets.token_urlsafe(48)
        hashed = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {"response_type": "code", "client_id": "a", "redirect_uri": BACK, "scope": "patient/*.rs offline_access",
                 "state": "s-1", "aud": self.origin + tenant + "/fhir", "code_challenge": hashed,
                 "code_challenge_method": "S256", **changes}
        return {k: v for k, v in asked.items() if v is not None}, verifier

    def authorize(self, asked: dict, tenant: str = "", method: str = "GET") -> tuple:
        """(status, the redirect's parameters)"""
        text = urllib.parse.urlencode(asked)
        if method == "GET":
            status, headers, _ = self.send(self.port, "GET", f"{tenant}/authorize?{text}")
        else:
            status, headers, _ = self.send(self.port, "POST", tenant + "/authorize", text,
                                           {"Content-Type": "application/x-www-form-urlencoded"})
        location = headers.get("Location", "")
        assert not location or location.startswith(BACK + "?"), location
        return status, dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(location).query))

    def code(self, tenant: str = "", **changes) -> tuple:
        asked, verifier = self.parameters(tenant, **changes)
        status, answer = self.authorize(asked, tenant)
        assert status == 302 and "code" in answer, answer
        return answer["code"], verifier

    def redeem(self, code: str, verifier, tenant: str = "", **more) -> tuple:
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK, **more}
        if verifier is not None:
            form["code_verifier"] = verifier
        return self.post(tenant + "/token", **form)

    def login(self, **more) -> dict:
        status, body = self.redeem(*self.code(), **more)
        assert status == 200, body
        return body

    def refresh(self, token: str, **more) -> tuple:
        return self.post("/token", grant_type="refresh_token", refresh_token=token, **more)

    def refused(self, answer: tuple, error: str, status: int = 400) -> None:
        assert answer[0] == status and answer[1].get("error") == error, answer


# The authorization endpoint ------------------------------------------------------------------------------------------

@test
def a_login_gives_code_and_state_and_the_code_gives_a_token(s: Server) -> None:
    s.set(extra={"patient": "p-1", "need_patient_banner": True})
    asked, verifier = s.parameters()
    status, answer = s.authorize(asked)
    assert status == 302 and answer["state"] == "s-1" and "iss" not in answer
    status, body = s.redeem(answer["code"], verifier)
    assert status == 200 and body["patient"] == "p-1" and body["scope"] == asked["scope"]
    assert s.read(body["access_token"]) == 200
    seen = s.last("/authorize")
    assert seen["asked"]["aud"] == s.origin + "/fhir" and seen["authorized"] == "code"
    assert s.last("/token")["form"]["code"] == "(redacted)" and s.last("/token")["auth"] == "basic"


@test
def post_works_as_get_does(s: Server) -> None:
    asked, verifier = s.parameters("/t")
    _, answer = s.authorize(asked, "/t", "POST")
    assert s.redeem(answer["code"], verifier, "/t")[0] == 200


@test
def what_is_wrong_with_a_request_goes_back_as_an_error(s: Server) -> None:
    s.control("POST", "clients", {"client_id": "narrow", "client_secret": SECRET, "scopes": ["patient/*.rs"]})
    for change, error in ((dict(response_type="token"), "unsupported_response_type"), (dict(state=None), "invalid_request"),
                          (dict(code_challenge=None), "invalid_request"), (dict(scope=None), "invalid_scope"),
                          (dict(code_challenge_method="plain"), "invalid_request"), (dict(aud=None), "invalid_request"),
                          (dict(aud=s.origin + "/fhir/"), "invalid_request"),
                          (dict(client_id="narrow", scope="patient/*.cruds"), "invalid_scope")):
        status, answer = s.authorize(s.parameters(**change)[0])
        assert status == 302 and answer["error"] == error, (change, answer)
        assert answer.get("state") == (None if "state" in change else "s-1")


@test
def a_repeated_parameter_is_an_error(s: Server) -> None:
    asked, _ = s.parameters()
    _, answer = s.authorize(list(asked.items()) + [("scope", "more")])
    assert answer["error"] == "invalid_request"


@test
def unknown_clients_and_redirect_uris_are_no_redirect(s: Server) -> None:
    s.control("POST", "clients", {"client_id": "b", "client_secret": SECRET, "redirect_uris": ["http://127.0.0.1/x"]})
    for change in (dict(client_id="nobody"), dict(redirect_uri=None), dict(client_id="b")):
        assert s.authorize(s.parameters(**change)[0])[0] == 400


@test
def aud_may_be_wanted_with_a_slash_or_not_at_all(s: Server) -> None:
    s.set(aud="slash")
    assert "error" in s.authorize(s.parameters()[0])[1]
    assert "code" in s.authorize(s.parameters(aud=s.origin + "/fhir/")[0])[1]
    s.set(aud="ignored")
    assert "code" in s.authorize(s.parameters(aud=None)[0])[1]


@test
def pkce_may_be_ignored_or_refused(s: Server) -> None:
    s.set(pkce="ignore")
    code, _ = s.code(code_challenge=None, code_challenge_method=None)
    assert s.redeem(code, None)[0] == 200
    s.set(pkce="refuse")
    assert s.authorize(s.parameters()[0])[1]["error"] == "invalid_request"
    code, _ = s.code(code_challenge=None, code_challenge_method=None)
    s.refused(s.redeem(code, "v" * 43), "invalid_request")
    assert s.redeem(code, None)[0] == 200


@test
def iss_comes_as_set_and_is_declared_as_set(s: Server) -> None:
    s.set(answers_iss=True, declares_iss=True)
    assert s.authorize(s.parameters("/t")[0], "/t")[1]["iss"] == s.origin + "/t"
    document = json.loads(s.send(s.port, "GET", "/t/fhir/.well-known/smart-configuration")[2])
    assert document["authorization_response_iss_parameter_supported"] is True
    assert document["issuer"] == s.origin + "/t"
    s.set(answers_iss="https://other.example")
    assert s.authorize(s.parameters()[0])[1]["iss"] == "https://other.example"
    s.set(authorize_error={"error": "access_denied"})
    assert s.authorize(s.parameters()[0])[1]["iss"] == "https://other.example"
    s.set(iss_in_errors=False)
    assert "iss" not in s.authorize(s.parameters()[0])[1]


@test
def an_error_by_rule_holds_once(s: Server) -> None:
    s.rule(path="/authorize", times=1, settings={"authorize_error": {
        "error": "access_denied", "error_description": "not today", "error_uri": "https://e.example/1"}})
    _, answer = s.authorize(s.parameters()[0])
    assert answer == {"error": "access_denied", "error_description": "not today", "error_uri": "https://e.example/1",
                      "state": "s-1"}
    assert "code" in s.authorize(s.parameters()[0])[1]


@test
def launch_is_compared(s: Server) -> None:
    s.set(launch="l-1")
    assert s.authorize(s.parameters()[0])[1]["error"] == "invalid_request"
    assert "code" in s.authorize(s.parameters(launch="l-1")[0])[1]


# Codes ---------------------------------------------------------------------------------------------------------------

@test
def a_code_is_bound_to_verifier_redirect_client_and_tenant(s: Server) -> None:
    code, verifier = s.code()
    s.refused(s.redeem(code, "w" * 43), "invalid_grant")
    s.refused(s.redeem(code, None), "invalid_grant")
    s.refused(s.redeem(code, verifier, redirect_uri=BACK + "/"), "invalid_grant")
    s.refused(s.redeem(code, verifier, "/other"), "invalid_grant")
    s.refused(s.redeem(code, verifier, basic=("b", SECRET)), "invalid_grant")
    s.refused(s.redeem(code, verifier, basic=("a", "wrong")), "invalid_client", 401)
    assert s.redeem(code, verifier)[0] == 200


@test
def a_code_used_twice_ends_what_it_gave(s: Server) -> None:
    s.set(refresh_tokens=True)
    code, verifier = s.code()
    _, first = s.redeem(code, verifier)
    s.refused(s.redeem(code, verifier), "invalid_grant")
    assert s.read(first["access_token"]) == 401
    s.refused(s.refresh(first["refresh_token"]), "invalid_grant")
    assert s.stats()["code_reuse_detected"] == 1


@test
def a_code_expires(s: Server) -> None:
    s.set(code_seconds=0)
    s.refused(s.redeem(*s.code()), "invalid_grant")


@test
def a_public_client_redeems_by_its_id(s: Server) -> None:
    code, verifier = s.code(client_id="public")
    assert s.redeem(code, verifier, basic=None, client_id="public")[0] == 200


# Refreshing ----------------------------------------------------------------------------------------------------------

@test
def refreshing_rotates_and_reuse_ends_the_family(s: Server) -> None:
    s.set(refresh_tokens=True)
    first = s.login()
    status, second = s.refresh(first["refresh_token"])
    assert status == 200 and second["refresh_token"] != first["refresh_token"]
    assert s.stats()["refresh_presented_max"] == 1 and s.stats()["reuse_detected"] == 0
    s.refused(s.refresh(first["refresh_token"]), "invalid_grant")
    s.refused(s.refresh(second["refresh_token"]), "invalid_grant")
    assert s.read(second["access_token"]) == 401
    stats = s.stats()
    assert stats["refresh_presented_max"] == 2 and stats["reuse_detected"] == 1
    key = hashlib.sha256(first["refresh_token"].encode()).hexdigest()
    assert stats["refresh_presented"][key] == 2


@test
def within_the_grace_the_same_pair_comes_again(s: Server) -> None:
    s.set(refresh_tokens=True, reuse="grace", grace_seconds=1)
    first = s.login()
    _, second = s.refresh(first["refresh_token"])
    assert s.refresh(first["refresh_token"]) == (200, second)
    time.sleep(1.1)
    s.refused(s.refresh(first["refresh_token"]), "invalid_grant")
    s.refused(s.refresh(second["refresh_token"]), "invalid_grant")


@test
def without_rotation_the_token_is_the_same_or_left_out(s: Server) -> None:
    s.set(refresh_tokens=True, rotate=False)
    first = s.login()
    for _ in range(2):
        status, again = s.refresh(first["refresh_token"])
        assert status == 200 and again["refresh_token"] == first["refresh_token"]
    s.set(rotate=True)
    s.rule(path="/token", times=1, token={"refresh_tokens": False})
    status, bare = s.refresh(first["refresh_token"])
    assert status == 200 and "refresh_token" not in bare
    assert s.refresh(first["refresh_token"])[0] == 200


@test
def scope_in_a_refresh_is_as_set(s: Server) -> None:
    s.set(refresh_tokens=True, rotate=False)
    token = s.login()["refresh_token"]
    assert s.refresh(token, scope="patient/*.rs")[1]["scope"] == "patient/*.rs"
    assert s.refresh(token)[1]["scope"] == "patient/*.rs offline_access"
    s.refused(s.refresh(token, scope="user/*.rs"), "invalid_scope")
    s.set(refresh_scope="required")
    s.refused(s.refresh(token), "invalid_request")
    s.set(refresh_scope="forbidden")
    s.refused(s.refresh(token, scope="patient/*.rs"), "invalid_scope")
    assert s.refresh(token)[0] == 200


@test
def a_lost_reply_was_carried_out(s: Server) -> None:
    s.set(refresh_tokens=True)
    token = s.login()["refresh_token"]
    s.rule(path="/token", times=1, lose_reply=True)
    try:
        raise AssertionError(s.refresh(token))
    except (http.client.HTTPException, OSError):
        pass
    seen = s.last("/token")
    assert seen["outcome"] == "lose_reply" and seen["status"] == 200
    assert s.stats()["refresh_issued"] == 2
    s.refused(s.refresh(token), "invalid_grant")
    assert s.stats()["refresh_presented_max"] == 2 and s.stats()["reuse_detected"] == 1


@test
def nonsense_after_it_was_carried_out_or_before(s: Server) -> None:
    s.set(refresh_tokens=True)
    token = s.login()["refresh_token"]
    s.rule(path="/token", times=1, body="<html>welcome</html>")
    assert s.refresh(token) == (200, "<html>welcome</html>")
    s.rule(path="/token", times=1, json={"error": "invalid_scope"})
    assert s.refresh(token) == (200, {"error": "invalid_scope"})
    assert s.stats()["refresh_issued"] == 1
    s.rule(path="/token", times=1, carry_out=True, status=502, body="bad gateway")
    assert s.refresh(token) == (502, "bad gateway")
    assert s.stats()["refresh_issued"] == 2
    s.refused(s.refresh(token), "invalid_grant")


@test
def half_a_body_was_carried_out(s: Server) -> None:
    s.set(refresh_tokens=True)
    token = s.login()["refresh_token"]
    s.rule(path="/token", times=1, drop="half_body")
    try:
        raise AssertionError(s.refresh(token))
    except http.client.IncompleteRead:
        pass
    assert s.stats()["refresh_issued"] == 2


@test
def requests_that_a_rule_swallows_are_counted_too(s: Server) -> None:
    s.set(refresh_tokens=True)
    token = s.login()["refresh_token"]
    s.rule(path="/token", times=1, status=503, body="")
    assert s.refresh(token)[0] == 503
    assert s.refresh(token)[0] == 200
    assert s.stats()["refresh_presented_max"] == 2 and s.stats()["reuse_detected"] == 0


@test
def many_at_once_with_one_token_give_one_new_pair(s: Server) -> None:
    s.set(refresh_tokens=True)
    token = s.login()["refresh_token"]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: s.refresh(token)[0], range(8)))
    assert sorted(answers) == [200] + [400] * 7
    assert s.stats()["refresh_presented_max"] == 8 and s.stats()["reuse_detected"] == 7


@test
def expire_ends_access_and_if_asked_refresh(s: Server) -> None:
    s.set(refresh_tokens=True)
    body = s.login()
    s.control("POST", "expire", {})
    assert s.read(body["access_token"]) == 401
    _, body = s.refresh(body["refresh_token"])
    s.control("POST", "expire", {"refresh": True})
    s.refused(s.refresh(body["refresh_token"]), "invalid_grant")


# Revocation and introspection ----------------------------------------------------------------------------------------

@test
def revoking_a_refresh_token_ends_its_family(s: Server) -> None:
    s.set(refresh_tokens=True)
    body = s.login()
    assert s.post("/revoke", token=body["refresh_token"], token_type_hint="refresh_token") == (200, "")
    assert s.read(body["access_token"]) == 401
    s.refused(s.refresh(body["refresh_token"]), "invalid_grant")


@test
def revoking_an_access_token_spares_the_refresh_token(s: Server) -> None:
    s.set(refresh_tokens=True)
    body = s.login()
    assert s.post("/revoke", token=body["access_token"], token_type_hint="refresh_token")[0] == 200
    assert s.read(body["access_token"]) == 401
    assert s.refresh(body["refresh_token"])[0] == 200
    assert s.last("/revoke")["form"] == {"token": "(redacted)", "token_type_hint": "refresh_token"}


@test
def revocation_refuses_strangers_and_answers_200_for_unknown_tokens(s: Server) -> None:
    token = s.login()["access_token"]
    s.refused(s.post("/revoke", basic=("a", "wrong"), token=token), "invalid_client", 401)
    assert s.post("/revoke", token="nothing-like-a-token")[0] == 200
    assert s.post("/revoke", basic=("b", SECRET), token=token)[0] == 200
    assert s.read(token) == 200
    s.refused(s.post("/revoke"), "invalid_request")
    s.set(revocation=False)
    assert s.post("/revoke", token=token)[0] == 404


@test
def introspection_tells_of_valid_tokens_alone(s: Server) -> None:
    s.set(refresh_tokens=True, extra={"patient": "p-1"})
    body = s.login()
    status, told = s.post("/introspect", token=body["access_token"])
    assert status == 200 and told["active"] and told["client_id"] == "a" and told["patient"] == "p-1"
    assert told["scope"] == body["scope"] and told["exp"] > time.time()
    assert s.post("/introspect", token=body["refresh_token"])[1]["active"] is True
    assert s.post("/introspect", token="unknown") == (200, {"active": False})
    assert s.post("/introspect", bearer=body["access_token"], token=body["access_token"])[1]["active"] is True
    s.refused(s.post("/introspect", bearer="wrong", token=body["access_token"]), "invalid_token", 401)
    s.refused(s.post("/introspect", basic=None, token=body["access_token"]), "invalid_client", 401)
    s.control("POST", "expire", {})
    assert s.post("/introspect", token=body["access_token"]) == (200, {"active": False})


@test
def discovery_lists_it_all(s: Server) -> None:
    document = json.loads(s.send(s.port, "GET", "/t/fhir/.well-known/smart-configuration")[2])
    for name, at in (("authorization", "authorize"), ("token", "token"), ("revocation", "revoke"),
                     ("introspection", "introspect")):
        assert document[name + "_endpoint"] == f"{s.origin}/t/{at}"
    assert document["code_challenge_methods_supported"] == ["S256"]
    s.set(discovery="oauth-metadata", revocation=False)
    document = json.loads(s.send(s.port, "GET", "/.well-known/oauth-authorization-server/t/fhir")[2])
    assert document["authorization_endpoint"] == s.origin + "/t/authorize" and "revocation_endpoint" not in document
    s.set(discovery="capability-statement", revocation=True)
    security = json.loads(s.send(s.port, "GET", "/t/fhir/metadata")[2])["rest"][0]["security"]
    listed = {e["url"]: e["valueUri"] for e in security["extension"][0]["extension"]}
    assert listed == {name: f"{s.origin}/t/{name}" for name in ("token", "authorize", "revoke", "introspect")}


@test
def every_secret_is_remembered_for_the_hunt(s: Server) -> None:
    s.set(refresh_tokens=True)
    code, verifier = s.code()
    _, body = s.redeem(code, verifier)
    s.refresh(body["refresh_token"])
    known = s.control("GET", "secrets")
    assert code in known["codes"] and verifier in known["client_secrets"]
    assert body["refresh_token"] in known["refresh_tokens"] and SECRET not in str(s.control("GET", "log"))
    shown = str([{k: v for k, v in e.items() if k != "query"} for e in s.control("GET", "log")["entries"]])
    assert not any(secret in shown for secret in (code, verifier, body["refresh_token"], body["access_token"]))


# Client assertions ---------------------------------------------------------------------------------------------------

class Keys:
    """An RSA and a P-384 key in a directory of their own."""

    def __init__(self, at: str) -> None:
        self.rsa, self.ec = at + "/rsa.pem", at + "/ec.pem"
        jose.openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", self.rsa)
        jose.openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384", "-out", self.ec)
        self.jwks = {"keys": [jose.public_jwk(self.rsa, "r", "RS384"), jose.public_jwk(self.ec, "e", "ES384")]}

    def claims(self, s: Server, **changes) -> dict:
        claims = {"iss": "a", "sub": "a", "aud": s.origin + "/token", "exp": int(time.time()) + 240,
                  "jti": secrets.token_hex(16), **changes}
        return {k: v for k, v in claims.items() if v is not None}

    def signed(self, s: Server, **changes) -> str:
        return jose.sign(self.ec, "e", "ES384", self.claims(s, **changes))


KEYS = None


def asserted(s: Server, assertion: str, **more) -> tuple:
    return s.post("/token", **{
        "basic": None, "grant_type": "client_credentials", "scope": "system/*.rs", "client_assertion": assertion,
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", **more})


@test
def assertions_by_rsa_and_by_ec_are_accepted_once_each(s: Server) -> None:
    s.set(assertion_jwks=KEYS.jwks)
    for assertion in (KEYS.signed(s), jose.sign(KEYS.rsa, "r", "RS384", KEYS.claims(s))):
        assert asserted(s, assertion)[0] == 200
        assert s.last("/token")["auth"] == "private_key_jwt"
        s.refused(asserted(s, assertion), "invalid_client", 401)
    stats = s.stats()
    assert stats["assertions_good"] == 2 and stats["assertion_problems"] == ["jti was used before"] * 2
    document = json.loads(s.send(s.port, "GET", "/fhir/.well-known/smart-configuration")[2])
    assert "private_key_jwt" in document["token_endpoint_auth_methods_supported"]


@test
def a_code_is_redeemed_by_assertion(s: Server) -> None:
    s.set(assertion_jwks=KEYS.jwks)
    code, verifier = s.code()
    status, _ = asserted(s, KEYS.signed(s), grant_type="authorization_code", code=code, code_verifier=verifier,
                         redirect_uri=BACK)
    assert status == 200


@test
def each_wrong_claim_has_its_reason(s: Server) -> None:
    s.set(assertion_jwks=KEYS.jwks)
    now = int(time.time())
    for change, reason in ((dict(iss="b"), "iss and sub"), (dict(aud=s.origin), "aud"), (dict(jti=None), "no jti"),
                           (dict(aud=[s.origin + "/token"]), "aud"), (dict(exp=now - 1), "exp has passed"),
                           (dict(exp=now + 900), "exp is more"), (dict(exp=float(now + 60)), "exp is not an integer"),
                           (dict(exp=None), "exp is not"), (dict(iat=now + 60), "iat is in the future"),
                           (dict(iss="x", sub="x"), "unknown client")):
        s.refused(asserted(s, KEYS.signed(s, **change)), "invalid_client", 401)
        assert s.stats()["assertion_problems"][-1].startswith(reason), (change, s.stats()["assertion_problems"][-1])


def resigned(s: Server, key: str, head: dict) -> str:
    text = ".".join(jose.b64(json.dumps(part).encode()) for part in (head, KEYS.claims(s)))
    return text + "." + jose.b64(jose.ecdsa_raw(jose.openssl("dgst", "-sha384", "-sign", key, stdin=text.encode()), 48))


@test
def each_wrong_header_and_signature_has_its_reason(s: Server) -> None:
    s.set(assertion_jwks=KEYS.jwks)
    good = {"alg": "ES384", "kid": "e", "typ": "JWT"}
    assert asserted(s, resigned(s, KEYS.ec, good))[0] == 200
    whole = KEYS.signed(s)
    der = jose.b64(jose.openssl("dgst", "-sha384", "-sign", KEYS.ec, stdin=whole.rsplit(".", 1)[0].encode()))
    for assertion, reason in (
            (resigned(s, KEYS.ec, {"alg": "ES384", "kid": "e"}), "header: typ"),
            (resigned(s, KEYS.ec, {**good, "alg": "none"}), "header: alg"),
            (resigned(s, KEYS.ec, {**good, "alg": "RS384"}), "header: alg is not the key's"),
            (resigned(s, KEYS.ec, {"alg": "ES384", "typ": "JWT"}), "header: no kid"),
            (resigned(s, KEYS.ec, {**good, "kid": "z"}), "header: 0 keys"),
            (whole[:-8] + "AAAAAAAA", "the signature"), (whole.rsplit(".", 1)[0] + "." + der, "the signature"),
            (whole + "==", "the assertion is not three parts"), ("a.b", "the assertion is not three parts")):
        s.refused(asserted(s, assertion), "invalid_client", 401)
        assert s.stats()["assertion_problems"][-1].startswith(reason), (reason, s.stats()["assertion_problems"][-1])
    s.refused(asserted(s, KEYS.signed(s), client_assertion_type="jwt"), "invalid_client", 401)
    s.refused(asserted(s, KEYS.signed(s), client_id="b"), "invalid_client", 401)
    s.refused(asserted(s, KEYS.signed(s), basic=("a", SECRET)), "invalid_client", 401)


@test
def a_key_set_with_short_coordinates_or_private_parts_does_not_serve(s: Server) -> None:
    key = dict(KEYS.jwks["keys"][1])
    s.set(assertion_jwks={"keys": [{**key, "x": key["x"][:-4]}]})
    s.refused(asserted(s, KEYS.signed(s)), "invalid_client", 401)
    assert s.stats()["assertion_problems"][-1].startswith("the key does not serve")
    s.set(assertion_jwks={"keys": [{**key, "d": "AAAA"}]})
    s.refused(asserted(s, KEYS.signed(s)), "invalid_client", 401)
    assert s.stats()["assertion_problems"][-1].startswith("the key set has a private key")


@test
def header_lines_go_out_as_they_stand_and_bodies_compressed_where_the_rule_says_so(s: Server) -> None:
    s.rule(path="/fhir/x", times=1, status=200, body="", content_type="", raw_headers=["Nncoection: close", "E-Tag: 1"])
    status, headers, body = s.send(s.port, "GET", "/fhir/x")
    assert (status, headers["Nncoection"], headers["E-Tag"], headers["Content-Type"], body) == (
        200, "close", "1", None, "")
    s.rule(path="/fhir/x", gzip=True, stream_bytes=1 << 20, content_type="text/plain")
    connection = http.client.HTTPConnection("127.0.0.1", s.port, timeout=SECONDS)
    connection.request("GET", "/fhir/x")
    reply = connection.getresponse()
    packed = reply.read()
    connection.close()
    assert reply.headers["Content-Encoding"] == "gzip" and len(packed) < 10_000
    assert gzip.decompress(packed) == b" " * (1 << 20)


def main() -> None:
    global KEYS
    wanted, passed, failed = sys.argv[1:], 0, 0
    server = Server()
    try:
        with tempfile.TemporaryDirectory() as directory:
            KEYS = Keys(directory)
            for function in TESTS:
                name = function.__name__.replace("_", " ")
                if wanted and not any(word in name for word in wanted):
                    continue
                server.control("POST", "reset")
                for client in ("a", "b"):
                    server.control("POST", "clients", {"client_id": client, "client_secret": SECRET})
                server.control("POST", "clients", {"client_id": "public", "methods": ["none"]})
                try:
                    function(server)
                except Exception as e:  # a test's failure is counted, and the next one runs
                    failed += 1
                    line = e.__traceback__.tb_next.tb_lineno if e.__traceback__.tb_next else 0
                    print(f"FAIL {name}: line {line}: {type(e).__name__}: {e}")
                else:
                    passed += 1
                    print(f"ok   {name}")
    finally:
        server.stop()
    print(f"{passed} passed, {failed} failed")
    sys.stdout.flush()
    os._exit(1 if failed else 0)


if __name__ == "__main__":
    main()
