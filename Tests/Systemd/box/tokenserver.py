"""A FHIR server with a SMART token endpoint, small enough to read: for the tests in a real systemd.

Clients are `client-NAME` with the secret `secret-of-NAME`; their tokens start with `token-of-NAME-`, so a test sees
whose token it got. POST /behave changes, from then on: {"ttl": seconds, "delay": seconds, "status": 503}.
GET /seen tells how many token requests there were, by client.
"""
import base64
import json
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = int(sys.argv[1])
BASE = f"http://127.0.0.1:{PORT}"
behaviour = {"ttl": 3600, "delay": 0, "status": 200}
seen = {}
issued = {}
lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, **headers):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", headers.get("type", "application/json"))
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path == "/seen":
            self.answer(200, seen)
        elif path == "/fhir/.well-known/smart-configuration":
            self.answer(200, {
                "token_endpoint": f"{BASE}/token",
                "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
                "grant_types_supported": ["client_credentials"],
                "scopes_supported": ["system/*.rs"],
                "capabilities": ["client-confidential-symmetric", "permission-v2"],
            })
        elif path == "/fhir/metadata":
            self.answer(200, {
                "resourceType": "CapabilityStatement", "status": "active", "date": "2026-01-01", "kind": "instance",
                "fhirVersion": "4.0.1", "format": ["json"],
                "rest": [{"mode": "server", "resource": [
                    {"type": "Patient", "interaction": [{"code": "read"}, {"code": "search-type"}]}]}],
            }, type="application/fhir+json")
        elif path.startswith("/fhir/"):
            token = (self.headers.get("Authorization") or "").partition(" ")[2]
            if issued.get(token, 0) > time.time():
                self.answer(200, {"resourceType": "Bundle", "type": "searchset", "total": 0},
                            type="application/fhir+json")
            else:
                self.answer(401, {"resourceType": "OperationOutcome", "issue": [
                    {"severity": "error", "code": "login"}]}, type="application/fhir+json")
        else:
            self.answer(404, {})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        if self.path == "/behave":
            behaviour.update(json.loads(body))
            self.answer(200, behaviour)
        elif self.path == "/token":
            self.token(dict(urllib.parse.parse_qsl(body)))
        else:
            self.answer(404, {})

    def token(self, form):
        client, secret = form.get("client_id", ""), form.get("client_secret", "")
        scheme, _, value = (self.headers.get("Authorization") or "").partition(" ")
        if scheme.lower() == "basic":
            client, _, secret = base64.b64decode(value).decode().partition(":")
            client, secret = urllib.parse.unquote_plus(client), urllib.parse.unquote_plus(secret)
        with lock:
            seen[client] = seen.get(client, 0) + 1
            number = seen[client]
        time.sleep(behaviour["delay"])
        if behaviour["status"] != 200:
            self.answer(behaviour["status"], {"error": "temporarily_unavailable"})
            return
        name = client.removeprefix("client-")
        if secret != f"secret-of-{name}":
            self.answer(401, {"error": "invalid_client"})
            return
        token = f"token-of-{name}-{number}-" + "x" * 64
        issued[token] = time.time() + behaviour["ttl"]
        self.answer(200, {"access_token": token, "token_type": "Bearer", "expires_in": behaviour["ttl"],
                          "scope": form.get("scope", "system/*.rs")})


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


Server(("127.0.0.1", PORT), Handler).serve_forever()
