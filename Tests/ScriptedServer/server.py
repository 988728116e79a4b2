#!/usr/bin/env python3
"""A scriptable OAuth 2 and FHIR server for tests: it delays, drops, throttles, lies, and counts what it saw.

    server.py [--port N] [--control-port N] [--certificate FILE --key FILE]      0 (the default): any free port

With a certificate, PEM, it speaks TLS on its port; control stays plain.

Prints one line, {"port": …, "control_port": …}, then serves on 127.0.0.1 until its standard input closes, so that it
never outlives the test that started it. Python's standard library only (and the openssl command, for client
assertions); one thread for each client connection. check.py drives all of it.

The served tree. Any prefix works, each its own tenant: /a/fhir has its token endpoint at /a/token.
    PREFIX/fhir/.well-known/smart-configuration    PREFIX/fhir/metadata    PREFIX/fhir/Patient/1 …
    PREFIX/authorize (GET, POST; the user is there and says yes)    PREFIX/token    PREFIX/revoke    PREFIX/introspect    PREFIX/device    PREFIX/register
    PREFIX/jwks
    /.well-known/oauth-authorization-server
Control, JSON over HTTP on the control port:
    POST /_control/reset                 POST /_control/settings {…}   (world.py and grants.py have the defaults)
    POST /_control/clients {…}           POST /_control/rules {…}      DELETE /_control/rules [{"ids": […]}]
    POST /_control/release {"hold": N}   POST /_control/expire {}      (every issued token is dead here from now on;
    GET /_control/log[?since=N]              {"refresh": true}: every refresh token, too)
    GET /_control/stats                  GET /_control/secrets
    POST /_control/decide {"user_code": …, "decision": "approved" or an error of RFC 8628}
A rule's members: path (glob), method, client_id, times; then what happens: delay (seconds), hold (a name, until
released), drop (before_reading, after_reading, reset, half_body), hang, status, headers, body or json, content_type,
raw_headers (lines, sent as they stand), gzip (the body goes out compressed),
stream_bytes (a body of that many bytes, with or without stream_chunked), header_bytes, trickle_seconds (one byte each),
bundle ({entries, entry_bytes, next, first}: a page of that many Basic resources of that size, ids from first on),
close, token or settings (settings for this answer: expires_in of any JSON type, token_type, scope, extra,
authorize_error, …), lose_reply (all is done as asked, a refresh token rotated, and then the connection is closed
without a byte), carry_out (all is done as asked, and then the rule's own status, body or json is the answer).
A token endpoint that answers nonsense: {"json": {"error": "invalid_scope"}} is an error with 200, {"body": "<html>"} is
HTML with 200, {"body": "{\\"access", "content_type": "application/json"} is JSON cut off; {"drop": "half_body"} is half of
the true answer, after it was carried out; beside a body or json it is half of that, and nothing was carried out.
"""
import base64
import gzip
import hashlib
import json
import socket
import ssl
import struct
import sys
import threading
import time
import urllib.parse

from world import World

HEADER_BYTES_MAX = 65536    # more than any client of ours sends
BODY_BYTES_MAX = 1 << 20    # a token request is far smaller
IDLE_SECONDS_MAX = 300      # a connection without a request is closed after this
OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
REASONS = {200: "OK", 201: "Created", 204: "No Content", 302: "Found", 304: "Not Modified", 307: "Temporary Redirect",
           400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
           429: "Too Many Requests", 500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable"}

WORLD = World()
TLS = None          # the context, when there is a certificate
SCHEME = "http"


class Gone(Exception):
    """The client went away, or the script says that this connection ends here."""


class Exchange:
    """One client connection: reads requests one after the other and answers each."""

    def __init__(self, sock: socket.socket, control: bool) -> None:
        self.sock, self.control, self.rest = sock, control, b""
        self.number = None if control else WORLD.connection_opened()

    def run(self) -> None:
        try:
            self.sock.settimeout(IDLE_SECONDS_MAX)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if TLS and not self.control:
                self.sock = TLS.wrap_socket(self.sock, server_side=True)
            while self.one():
                pass
        except (Gone, OSError, ValueError):
            pass
        finally:
            self.sock.close()
            if not self.control:
                WORLD.connection_closed()

    def more(self) -> None:
        got = self.sock.recv(65536)
        if not got:
            raise Gone
        self.rest += got

    def read_head(self):
        while b"\r\n\r\n" not in self.rest:
            if self.rest.startswith(b"\x16"):  # TLS where there is none: others answer so, too
                self.sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                raise Gone
            if len(self.rest) > HEADER_BYTES_MAX:
                raise Gone
            self.more()
        head, self.rest = self.rest.split(b"\r\n\r\n", 1)
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        return method, target, [tuple(part.strip() for part in line.split(":", 1)) for line in lines]

    def read_body(self, headers: dict) -> bytes:
        length = int(headers.get("content-length", "0"))
        if length > BODY_BYTES_MAX:
            raise Gone
        if headers.get("expect", "").lower() == "100-continue":
            self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        while len(self.rest) < length:
            self.more()
        body, self.rest = self.rest[:length], self.rest[length:]
        return body

    def one(self) -> bool:
        method, target, pairs = self.read_head()
        headers = {name.lower(): value for name, value in pairs}
        url = urllib.parse.urlsplit(target)
        if self.control:
            status, answer = control(method, url, self.read_body(headers))
            self.send(method, status, {}, json.dumps(answer).encode(), "application/json")
            return headers.get("connection", "").lower() != "close"
        # Who the client is stands in the body, so a rule that drops before reading it goes by method and path alone.
        rule = WORLD.take_rule(method, url.path, None)
        body = b"" if rule else self.read_body(headers)
        form, text = {}, body.decode("utf-8", "replace")
        if "application/x-www-form-urlencoded" in headers.get("content-type", ""):
            form = dict(urllib.parse.parse_qsl(text, keep_blank_values=True))
        client_id = client_of(headers, form)
        WORLD.note_request(url.path, form)
        rule = rule or WORLD.take_rule(method, url.path, client_id)
        entry = WORLD.begin({
            "method": method, "path": url.path, "query": url.query, "connection": self.number,
            "headers": WORLD.shown_headers(pairs), "form": WORLD.shown_form(form), "body_bytes": len(body),
            "client_id": client_id, "rule": rule.get("id"), "note": rule.get("note")})
        try:
            return self.answer(entry, rule, method, url, headers, form, text)
        except (Gone, OSError):
            lost = "lose_reply" if rule.get("lose_reply") else "the client went away"
            WORLD.end(entry, entry["status"], rule.get("drop", lost))
            raise

    def answer(self, entry: dict, rule: dict, method: str, url, headers: dict, form: dict, text: str) -> bool:
        drop = rule.get("drop")
        if drop in ("before_reading", "after_reading"):
            raise Gone
        if "delay" in rule:
            time.sleep(rule["delay"])
        if "hold" in rule:
            WORLD.wait_release(rule["hold"])
        if rule.get("hang"):
            while self.sock.recv(4096):
                pass
            raise Gone
        if drop == "reset":
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise Gone
        extra = dict(rule.get("headers", {}))
        raw = rule.get("raw_headers", [])
        if "header_bytes" in rule:
            extra["X-Filler"] = "x" * rule["header_bytes"]
        scripted = {"status", "body", "json", "stream_bytes", "bundle"} & set(rule)
        if not scripted or rule.get("carry_out"):
            overrides = {**rule.get("token", {}), **rule.get("settings", {})}
            status, content, kind, more = served(entry, method, url, headers, form, text, overrides)
        if scripted:
            status = rule.get("status", 200)
            content = json.dumps(rule["json"]).encode() if "json" in rule else rule.get("body", "").encode()
            content = bundle(**rule["bundle"]) if "bundle" in rule else content
            kind = rule.get("content_type", "application/json" if {"json", "bundle"} & set(rule) else "text/html")
        else:
            extra = {**more, **extra}
        if rule.get("gzip"):
            content = gzip.compress(content or b" " * rule["stream_bytes"])
            extra["Content-Encoding"] = "gzip"
        entry["status"] = status
        if rule.get("lose_reply"):
            raise Gone
        if "stream_bytes" in rule and not rule.get("gzip"):
            self.stream(status, extra, kind, rule["stream_bytes"], rule.get("stream_chunked", False))
        elif drop == "half_body":
            self.send(method, status, extra, content, kind, upto=max(1, len(content) // 2))
            raise Gone
        elif "trickle_seconds" in rule:
            self.trickle(status, extra, content, kind, rule["trickle_seconds"])
        else:
            self.send(method, status, extra, content, kind, raw=raw)
        WORLD.end(entry, status, "answered")
        if rule.get("close"):
            return False
        return headers.get("connection", "").lower() != "close"

    def head(self, status: int, headers: dict, length, kind: str, raw=()) -> bytes:
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Scripted')}"]
        if kind and "Content-Type" not in headers:
            lines.append(f"Content-Type: {kind}")
        lines.append("Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}")
        lines += [f"{name}: {value}" for name, value in headers.items()] + list(raw)
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def send(self, method: str, status: int, headers: dict, content: bytes, kind: str, upto=None, raw=()) -> None:
        if status in (204, 304):
            content = b""
        head = self.head(status, headers, len(content), kind, raw)
        self.sock.sendall(head + (b"" if method == "HEAD" else content[:upto]))

    def stream(self, status: int, headers: dict, kind: str, total: int, chunked: bool) -> None:
        """A body as long as asked, from one buffer: a gigabyte costs no memory here."""
        block = b'{"access_token":"' + b"x" * 65519
        self.sock.sendall(self.head(status, headers, None if chunked else total, kind))
        sent = 0
        while sent < total:
            part = block[:min(len(block), total - sent)]
            self.sock.sendall(b"%x\r\n%s\r\n" % (len(part), part) if chunked else part)
            sent += len(part)
        if chunked:
            self.sock.sendall(b"0\r\n\r\n")

    def trickle(self, status: int, headers: dict, content: bytes, kind: str, pause: float) -> None:
        self.sock.sendall(self.head(status, headers, len(content), kind))
        for i in range(len(content)):
            self.sock.sendall(content[i:i + 1])
            time.sleep(pause)


def bundle(entries: int, entry_bytes: int = 100, next: str = "", first: int = 0) -> bytes:
    links = [{"relation": "self", "url": "Basic"}] + ([{"relation": "next", "url": next}] if next else [])
    head = json.dumps({"resourceType": "Bundle", "type": "searchset", "link": links})[:-1].encode()
    resources = (json.dumps({"resourceType": "Basic", "id": str(first + n), "text": {"div": "x" * entry_bytes}})
                 for n in range(entries))
    return head + b',"entry":[' + ",".join('{"resource":%s,"search":{"mode":"match"}}' % r for r in resources).encode() + b"]}"


def client_of(headers: dict, form: dict) -> str:
    """The client's id as the request names it, not yet believed."""
    if "client_id" in form:
        return form["client_id"]
    authorization = headers.get("authorization", "")
    if authorization.lower().startswith("basic "):
        try:
            pair = base64.b64decode(authorization.split(" ", 1)[1]).decode()
            return urllib.parse.unquote_plus(pair.split(":", 1)[0])
        except (ValueError, UnicodeDecodeError):
            return ""
    return ""


def served(entry: dict, method: str, url, headers: dict, form: dict, text: str, overrides: dict):
    """What a well-behaved server answers: (status, body, content type, headers)."""
    base = f"{SCHEME}://" + headers.get("host", "127.0.0.1")
    path, discovery = url.path, WORLD.settings["discovery"]
    if path.endswith("/authorize"):
        return authorized(entry, method, url, base, url.query if method == "GET" else text, overrides)
    for name in ("token", "revoke", "introspect", "device"):
        if path.endswith("/" + name):
            return oauth(name, entry, method, base + path, headers, form, overrides)
    if path.endswith("/register") and WORLD.settings["registration"] is not None and method == "POST":
        entry["asked"] = json.loads(text)
        status, body = WORLD.register(headers, entry["asked"])
        return status, json.dumps(body).encode(), "application/json", {"Cache-Control": "no-store"}
    if path.endswith("/jwks") and WORLD.settings["openid"]:
        with WORLD.lock:
            return tagged(headers, WORLD.keys.public(WORLD.settings["openid"]["published"]))
    fhir = path.find("/fhir")
    tenant = base + path[:max(fhir, 0)]
    if path.endswith("/.well-known/smart-configuration"):
        if discovery != "smart-configuration" or WORLD.settings["open"]:
            return 404, b"<html>not here</html>", "text/html", {}
        return tagged(headers, {
            **metadata(tenant or base), "scopes_supported": ["system/*.rs"],
            "capabilities": ["launch-standalone", "launch-ehr", "client-public", "client-confidential-symmetric",
                             "context-standalone-patient", "permission-offline", "permission-v2"]
            + (["client-confidential-asymmetric"] if WORLD.settings["assertion_jwks"] else []),
            **WORLD.settings["metadata"]})
    if "/.well-known/oauth-authorization-server" in path:
        if discovery != "oauth-metadata":
            return 404, b"<html>not here</html>", "text/html", {}
        at = base + path.replace("/.well-known/oauth-authorization-server", "").replace("/fhir", "")
        return tagged(headers, {**metadata(at), **WORLD.settings["metadata"]})
    if "/.well-known/" in path:
        return 404, b"<html>not here</html>", "text/html", {}
    if path.endswith("/metadata"):
        security = {}
        if discovery == "capability-statement" and not WORLD.settings["open"]:
            security = {"security": {"extension": [{"url": OAUTH_URIS, "extension": [
                {"url": "token", "valueUri": tenant + "/token"},
                {"url": "authorize", "valueUri": tenant + "/authorize"}]
                + [{"url": name, "valueUri": f"{tenant}/{name}"} for name, setting in
                   (("revoke", "revocation"), ("introspect", "introspection")) if WORLD.settings[setting]]}]}}
        return tagged(headers, {
            "resourceType": "CapabilityStatement", "status": "active", "kind": "instance", "fhirVersion": "4.0.1",
            "date": "2026-01-01", "format": ["json"], "software": {"name": "scripted"},
            "rest": [{"mode": "server", **security, "resource": [
                {"type": "Patient", "interaction": [{"code": "read"}, {"code": "search-type"}]}]}]})
    if fhir >= 0:
        if not WORLD.may_read(headers):
            return 401, outcome("login"), "application/fhir+json", {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        kind, _, rest = path[fhir + len("/fhir"):].strip("/").partition("/")
        found = {"resourceType": kind, "id": rest} if rest else {"resourceType": "Bundle", "type": "searchset"}
        return 200, json.dumps(found).encode(), "application/fhir+json", {"ETag": 'W/"1"'}
    return 404, b"<html>not here</html>", "text/html", {}


def metadata(at: str) -> dict:
    """What SMART's and OAuth's documents have in common. `at`: the tenant's origin and prefix, its issuer."""
    settings = WORLD.settings
    methods, more = ["client_secret_basic", "client_secret_post"], {}
    if settings["assertion_jwks"]:
        methods.append("private_key_jwt")
        more["token_endpoint_auth_signing_alg_values_supported"] = ["RS384", "ES384"]
    if settings["revocation"]:
        more["revocation_endpoint"] = at + "/revoke"
    if settings["introspection"]:
        more["introspection_endpoint"] = at + "/introspect"
    if settings["registration"] is not None:
        more["registration_endpoint"] = at + "/register"
    if settings["device"] is not None:
        more["device_authorization_endpoint"] = at + "/device"
    if settings["openid"]:
        more["jwks_uri"] = at + "/jwks"
    if settings["declares_iss"]:
        more["authorization_response_iss_parameter_supported"] = True
    return {"issuer": at, "authorization_endpoint": at + "/authorize", "token_endpoint": at + "/token",
            "response_types_supported": ["code"], "code_challenge_methods_supported": ["S256"],
            "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
            "token_endpoint_auth_methods_supported": methods, **more}


def authorized(entry: dict, method: str, url, base: str, text: str, overrides: dict):
    """The authorization endpoint's answer; `entry` gets `asked` (the parameters) and `authorized` (how it ended)."""
    if method not in ("GET", "POST"):
        return 405, b"", "text/plain", {"Allow": "GET, POST"}
    pairs = urllib.parse.parse_qsl(text, keep_blank_values=True)
    tenant = base + url.path.removesuffix("/authorize")
    entry["asked"] = dict(pairs)
    location, entry["authorized"] = WORLD.authorize(pairs, tenant, overrides)
    if location is None:
        return 400, f"<html>{entry['authorized']}</html>".encode(), "text/html", {}
    return 302, b"", "text/html", {"Location": location, "Cache-Control": "no-store"}


def oauth(name: str, entry: dict, method: str, at: str, headers: dict, form: dict, overrides: dict):
    """The answers of the three endpoints that clients post to; `entry` gets `auth`, how the client authenticated,
    and `error`."""
    if (name == "revoke" and not WORLD.settings["revocation"]) or (
            name == "introspect" and not WORLD.settings["introspection"]) or (
            name == "device" and WORLD.settings["device"] is None):
        return 404, b"<html>not here</html>", "text/html", {}
    if method != "POST":
        return 405, b"", "text/plain", {"Allow": "POST"}
    if name == "token":
        status, body, entry["auth"] = WORLD.token_answer(headers, form, overrides, at)
    else:
        answer = {"revoke": WORLD.revoke, "introspect": WORLD.introspect, "device": WORLD.device}[name]
        status, body, entry["auth"] = answer(headers, form, at)
    entry["error"] = body.get("error")
    more = {"Cache-Control": "no-store", "Pragma": "no-cache"}
    if status == 401:
        more["WWW-Authenticate"] = 'Basic realm="scripted"'
    content = b"" if name == "revoke" and status == 200 else json.dumps(body).encode()
    return status, content, "application/json", more


def tagged(headers: dict, document: dict):
    content = json.dumps(document).encode()
    tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    if headers.get("if-none-match") == tag:
        return 304, b"", "", {"ETag": tag}
    return 200, content, "application/json", {"ETag": tag}


def outcome(code: str) -> bytes:
    return json.dumps({"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": code}]}).encode()


def control(method: str, url, body: bytes):
    try:
        asked = json.loads(body) if body else {}
        command = (method, url.path.removeprefix("/_control/"))
        if command == ("POST", "reset"):
            WORLD.reset()
        elif command == ("POST", "settings"):
            unknown = set(asked) - set(WORLD.settings)
            if unknown:
                raise ValueError(f"unknown settings: {unknown}")
            with WORLD.lock:
                WORLD.settings.update(asked)
        elif command == ("POST", "clients"):
            WORLD.add_client(asked)
        elif command == ("POST", "rules"):
            return 200, {"id": WORLD.add_rule(asked)}
        elif command == ("DELETE", "rules"):
            WORLD.drop_rules(asked.get("ids", []))
        elif command == ("POST", "release"):
            WORLD.release(asked["hold"])
        elif command == ("POST", "decide"):
            WORLD.decide(asked["user_code"], asked["decision"])
        elif command == ("POST", "expire"):
            WORLD.expire(asked.get("refresh", False))
        elif command == ("GET", "log"):
            since = int(dict(urllib.parse.parse_qsl(url.query)).get("since", "0"))
            with WORLD.lock:
                return 200, {"entries": [dict(e) for e in WORLD.log[since:]]}
        elif command == ("GET", "stats"):
            return 200, WORLD.stats()
        elif command == ("GET", "secrets"):
            return 200, WORLD.all_secrets()
        else:
            return 404, {"error": f"no such control: {method} {url.path}"}
        return 200, {}
    except (ValueError, KeyError, TypeError) as e:
        return 400, {"error": f"{type(e).__name__}: {e}"}


def listen(port: int) -> socket.socket:
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", port))
    s.listen(4096)
    return s


def accept_loop(s: socket.socket, is_control: bool) -> None:
    while True:
        sock, _ = s.accept()
        threading.Thread(target=Exchange(sock, is_control).run, daemon=True).start()


def main(argv: list) -> None:
    global TLS, SCHEME
    given = {"--port": "0", "--control-port": "0", "--certificate": "", "--key": ""}
    for name, value in zip(argv[::2], argv[1::2]):
        if name not in given:
            raise SystemExit(__doc__)
        given[name] = value
    if given["--certificate"]:
        TLS, SCHEME = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), "https"
        TLS.load_cert_chain(given["--certificate"], given["--key"])
    threading.stack_size(256 * 1024)
    serving, controlling = listen(int(given["--port"])), listen(int(given["--control-port"]))
    for s, is_control in ((serving, False), (controlling, True)):
        threading.Thread(target=accept_loop, args=(s, is_control), daemon=True).start()
    print(json.dumps({"port": serving.getsockname()[1], "control_port": controlling.getsockname()[1]}), flush=True)
    while sys.stdin.buffer.read(4096):
        pass


if __name__ == "__main__":
    main(sys.argv[1:])
