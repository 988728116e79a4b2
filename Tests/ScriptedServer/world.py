"""What the scripted server knows: clients, issued tokens, rules, and a record of every request. No sockets in here."""
import base64
import fnmatch
import hashlib
import secrets
import threading
import time
import urllib.parse

# What a token request's body must not show in the log unless the test asks for it.
SECRET_FIELDS = {"client_secret", "client_assertion", "refresh_token", "code", "code_verifier"}
SECRET_HEADERS = {"authorization", "cookie", "proxy-authorization"}

DEFAULTS = {
    "expires_in": 300,        # any JSON value; "absent" leaves the member out
    "token_type": "Bearer",
    "scope": "asked",         # "asked" echoes the request's; "absent" leaves the member out; else this text
    "token_bytes": 48,        # length of an access token
    "extra": {},              # more members of the token response (launch context)
    "refresh_tokens": False,  # give refresh tokens
    "rotate": True,           # a used refresh token is dead, and reuse ends its family
    "reuse": "revoke_family",  # what a used refresh token does with `rotate`; or "grace" within grace_seconds
    "grace_seconds": 10,
    "refresh_scope": "any",   # or "required", "forbidden": servers that want scope in a refresh, or want none
    "pkce": "required",       # or "ignored", "refused"
    "aud": "exact",           # or "ignored"
    "answers_iss": False,     # `iss` in the authorization response, and said so in the metadata (RFC 9207)
    "deny": "",               # an OAuth error that the authorization endpoint answers instead of a code
    "log_secrets": False,
    "discovery": "smart-configuration",  # or "capability-statement", "oauth-metadata", "none"
    "open": False,            # reads need no token and nothing is declared about security
    "enforce_expiry": True,   # a read with an expired token is 401
}


class World:
    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.released = threading.Condition(self.lock)
        self.started = time.time()
        self.reset()

    def reset(self) -> None:
        with self.lock:
            self.settings = dict(DEFAULTS)
            self.clients, self.rules, self.log = {}, [], []
            self.tokens, self.refresh, self.dead_families = {}, {}, set()
            self.codes, self.presented, self.reuse_detected = {}, {}, 0
            self.secrets_seen = set()
            self.open_holds = set()
            self.in_flight, self.high_water = {}, {}
            self.connections = 0
            self.connections_open = 0
            self.connections_high_water = 0
            self.next_rule = 1
            self.epoch = getattr(self, "epoch", 0) + 1
            self.released.notify_all()

    # Rules -----------------------------------------------------------------------------------------------------------

    def add_rule(self, rule: dict) -> int:
        """A rule has `path` (glob; default *), `method`, `client_id`, `times` (absent: standing) and what it does.
        Those with `times` go first, the oldest of them first; then the newest standing one."""
        known = {"path", "method", "client_id", "times", "delay", "hold", "drop", "hang", "status", "headers", "body",
                 "json", "content_type", "stream_bytes", "stream_chunked", "header_bytes", "token", "close",
                 "trickle_seconds", "lose_reply", "note"}
        unknown = set(rule) - known
        if unknown:
            raise ValueError(f"unknown members: {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}")
        with self.lock:
            rule = dict(rule, id=self.next_rule, used=0)
            self.next_rule += 1
            self.rules.append(rule)
            return rule["id"]

    def drop_rules(self, ids: list) -> None:
        with self.lock:
            self.rules = [r for r in self.rules if ids and r["id"] not in ids]

    def take_rule(self, method: str, path: str, client_id) -> dict:
        """The rule for this request, used up by one; {}: none. Without a client_id: those that act before the body."""
        with self.lock:
            def matches(r: dict) -> bool:
                early = r.get("drop") == "before_reading"
                return (early == (client_id is None) and fnmatch.fnmatchcase(path, r.get("path", "*")) and r.get("method", method) == method
                        and (early or r.get("client_id", client_id) == client_id))
            queued = [r for r in self.rules if "times" in r and r["used"] < r["times"] and matches(r)]
            standing = [r for r in self.rules if "times" not in r and matches(r)]
            found = queued[0] if queued else standing[-1] if standing else {}
            if found:
                found["used"] += 1
            return dict(found)

    def wait_release(self, hold: str, limit: float = 120) -> None:
        """Holds a request until `release` names its hold (or `*`); two minutes at most."""
        with self.released:
            epoch, deadline = self.epoch, time.monotonic() + limit
            while hold not in self.open_holds and "*" not in self.open_holds and epoch == self.epoch:
                if not self.released.wait(max(0, deadline - time.monotonic())) and time.monotonic() >= deadline:
                    return

    def release(self, hold: str) -> None:
        with self.released:
            self.open_holds.add(hold)
            # Rules that hold under this name are over: what comes later is answered at once.
            self.rules = [r for r in self.rules if hold != "*" and r.get("hold") != hold]
            self.released.notify_all()

    # The record ------------------------------------------------------------------------------------------------------

    def connection_opened(self) -> int:
        with self.lock:
            self.connections += 1
            self.connections_open += 1
            self.connections_high_water = max(self.connections_high_water, self.connections_open)
            return self.connections

    def connection_closed(self) -> None:
        with self.lock:
            self.connections_open -= 1

    def begin(self, entry: dict) -> dict:
        with self.lock:
            for key in (entry["path"], "*"):
                self.in_flight[key] = self.in_flight.get(key, 0) + 1
                self.high_water[key] = max(self.high_water.get(key, 0), self.in_flight[key])
            entry.update(n=len(self.log) + 1, at=time.time(), concurrency=self.in_flight[entry["path"]],
                         status=None, outcome="under way")
            self.log.append(entry)
            return entry

    def end(self, entry: dict, status, outcome: str) -> None:
        with self.lock:
            if entry.get("ended_at"):
                return
            entry.update(status=status, outcome=outcome, ended_at=time.time())
            for key in (entry["path"], "*"):
                self.in_flight[key] = self.in_flight.get(key, 1) - 1

    def shown_headers(self, headers: list) -> dict:
        shown = {}
        for name, value in headers:
            if name.lower() in SECRET_HEADERS and not self.settings["log_secrets"]:
                value = value.split(" ")[0] + " (redacted)"
            shown[name] = value
        return shown

    def shown_form(self, form: dict) -> dict:
        if self.settings["log_secrets"]:
            return dict(form)
        return {k: "(redacted)" if k in SECRET_FIELDS else v for k, v in form.items()}

    def stats(self) -> dict:
        with self.lock:
            counts, outcomes = {}, {}
            for e in self.log:
                counts[e["path"]] = counts.get(e["path"], 0) + 1
                outcomes[str(e["status"])] = outcomes.get(str(e["status"]), 0) + 1
            return {"requests": len(self.log), "by_path": counts, "by_status": outcomes,
                    "in_flight": dict(self.in_flight), "high_water": dict(self.high_water),
                    "connections": self.connections, "connections_open": self.connections_open,
                    "connections_high_water": self.connections_high_water, "tokens_issued": len(self.tokens),
                    "refresh_presented_max": max(self.presented.values(), default=0),
                    "reuse_detected": self.reuse_detected, "families_dead": len(self.dead_families)}

    # Clients and tokens ----------------------------------------------------------------------------------------------

    def add_client(self, client: dict) -> None:
        """`client_id`, `client_secret`, `methods` (basic, post, none), `encoding` (rfc6749, raw; absent: either),
        `scopes` (absent: all), `token` (what differs from the settings for this client)."""
        with self.lock:
            self.clients[client["client_id"]] = client
            self.remember(client.get("client_secret"))

    def remember(self, secret) -> None:
        """Every form a secret takes on the wire, for the secret hunt."""
        if not secret:
            return
        with self.lock:
            self.secrets_seen.update({secret, urllib.parse.quote_plus(secret)})

    def authenticate(self, headers: dict, form: dict):
        """(client, how, None) or (None, how, error). `how` is basic, basic_rfc6749, basic_raw, post or none."""
        authorization, in_body = headers.get("authorization", ""), "client_secret" in form
        if authorization.lower().startswith("basic "):
            self.remember(authorization.split(" ", 1)[1])
            if in_body:
                return None, "two", "two client authentications in one request"
            try:
                pair = base64.b64decode(authorization.split(" ", 1)[1], validate=True).decode()
                raw = tuple(pair.split(":", 1))
                decoded = tuple(urllib.parse.unquote_plus(part) for part in raw)
            except (ValueError, UnicodeDecodeError):
                return None, "basic", "the Basic credentials do not decode"
            for how, candidate in (("basic_rfc6749", decoded), ("basic_raw", raw)):
                client = self.clients.get(candidate[0])
                if client and len(candidate) == 2 and client.get("client_secret") == candidate[1]:
                    how = "basic" if raw == decoded else how
                    allowed = client.get("methods", ["basic", "post"])
                    wrong = how != "basic" and client.get("encoding") and how != "basic_" + client["encoding"]
                    if "basic" not in allowed or wrong:
                        return None, how, "this client may not authenticate so"
                    return client, how, None
            return None, "basic", "unknown client or wrong secret"
        if in_body:
            self.remember(form["client_secret"])
            client = self.clients.get(form.get("client_id", ""))
            if client and client.get("client_secret") == form["client_secret"]:
                if "post" not in client.get("methods", ["basic", "post"]):
                    return None, "post", "this client may not authenticate so"
                return client, "post", None
            return None, "post", "unknown client or wrong secret"
        client = self.clients.get(form.get("client_id", ""))
        if client and "none" in client.get("methods", []):
            return client, "none", None
        return None, "none", "no client authentication"

    def token_answer(self, headers: dict, form: dict, overrides: dict):
        """(status, body, how the client authenticated) as RFC 6749 has them."""
        with self.lock:
            client, how, problem = self.authenticate(headers, form)
            if client is None:
                return 401, {"error": "invalid_client", "error_description": problem}, how
            settings = {**self.settings, **client.get("token", {}), **overrides}
            grant = form.get("grant_type")
            asked = form.get("scope", "")
            family = None
            if grant == "refresh_token":
                return self.refreshed(client, settings, form, how)
            if grant == "authorization_code":
                return self.redeemed(client, settings, form, how)
            if grant != "client_credentials":
                return 400, {"error": "unsupported_grant_type"}, how
            if client.get("scopes") is not None and not set(asked.split()) <= set(client["scopes"]):
                return 400, {"error": "invalid_scope", "error_description": "beyond what is registered"}, how
            return 200, self.issue(client, settings, asked, family), how

    def refreshed(self, client: dict, settings: dict, form: dict, how: str):
        presented = form.get("refresh_token", "")
        self.remember(presented)
        self.presented[presented] = self.presented.get(presented, 0) + 1
        wants = settings["refresh_scope"]
        if wants != "any" and (wants == "required") != ("scope" in form):
            return 400, {"error": "invalid_request", "error_description": f"scope is {wants} here"}, how
        known = self.refresh.get(presented)
        if not known or known["client"] != client["client_id"] or known["family"] in self.dead_families:
            return 400, {"error": "invalid_grant", "error_description": "unknown refresh token"}, how
        if known["used"] and settings["rotate"]:
            if settings["reuse"] == "grace" and time.time() <= known["used"] + settings["grace_seconds"]:
                return 200, known["answer"], how
            self.dead_families.add(known["family"])
            self.reuse_detected += 1
            return 400, {"error": "invalid_grant", "error_description": "refresh token used twice"}, how
        asked = form.get("scope", "") or known["scope"]
        if not set(asked.split()) <= set(known["scope"].split()):
            return 400, {"error": "invalid_scope"}, how
        body = self.issue(client, settings, asked, known["family"], scope=known["scope"])
        known["used"], known["answer"] = time.time(), body
        return 200, body, how

    def authorize(self, base: str, query: dict):
        """The redirect of the authorization endpoint for somebody who logs in and agrees: (target, problem)."""
        with self.lock:
            client, redirect = self.clients.get(query.get("client_id", "")), query.get("redirect_uri", "")
            if not client or redirect not in client.get("redirect_uris", []):
                return None, "unknown client or redirect_uri"
            back = {"state": query.get("state", "")}
            if self.settings["answers_iss"]:
                back["iss"] = base
            problem = self.settings["deny"]
            challenge = query.get("code_challenge")
            if query.get("response_type") != "code":
                problem = "unsupported_response_type"
            elif not query.get("state") or not query.get("scope"):
                problem = "invalid_request"
            elif self.settings["aud"] == "exact" and query.get("aud") != base + "/fhir":
                problem = "invalid_target"
            elif self.settings["pkce"] == "required" and (not challenge or query.get("code_challenge_method") != "S256"):
                problem = "invalid_request"
            elif self.settings["pkce"] == "refused" and challenge:
                problem = "invalid_request"
            if problem:
                back["error"] = problem
            else:
                code = "code-" + secrets.token_urlsafe(24)
                self.remember(code)
                self.codes[code] = {"client": client["client_id"], "redirect_uri": redirect, "challenge": challenge,
                                    "scope": query["scope"], "used": False, "until": time.time() + 60}
                back["code"] = code
            return redirect + ("&" if "?" in redirect else "?") + urllib.parse.urlencode(back), None

    def redeemed(self, client: dict, settings: dict, form: dict, how: str):
        self.remember(form.get("code_verifier"))
        known = self.codes.get(form.get("code", ""))
        def no(words: str):
            return 400, {"error": "invalid_grant", "error_description": words}, how
        if not known or known["client"] != client["client_id"] or known["until"] < time.time():
            return no("unknown code")
        if known["used"]:
            self.dead_families.add(known["family"])
            return no("code used twice")
        if form.get("redirect_uri") != known["redirect_uri"]:
            return no("another redirect_uri than was authorized")
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if known["challenge"] and base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != known["challenge"]:
            return no("the code_verifier does not match")
        known["used"], known["family"] = True, secrets.token_hex(8)
        return 200, self.issue(client, settings, known["scope"], known["family"]), how

    def revoke(self, token: str) -> None:
        with self.lock:
            self.tokens.get(token, {})["expires_at"] = 0
            if token in self.refresh:
                self.dead_families.add(self.refresh[token]["family"])

    def introspect(self, token: str) -> dict:
        with self.lock:
            known = self.tokens.get(token)
            if not known or known["expires_at"] <= time.time():
                return {"active": False}
            return {"active": True, "scope": known["scope"], "client_id": known["client"],
                    "exp": int(known["expires_at"])}

    def issue(self, client: dict, settings: dict, asked: str, family, scope=None) -> dict:
        renewal = scope is not None
        token = "at-" + secrets.token_urlsafe(settings["token_bytes"])[:settings["token_bytes"]]
        lifetime = settings["expires_in"]
        try:
            seconds = float(lifetime)
        except (TypeError, ValueError):
            seconds = 3600.0
        scope, whole = asked if settings["scope"] == "asked" else settings["scope"], scope or asked
        self.tokens[token] = {"client": client["client_id"], "expires_at": time.time() + seconds, "scope": scope}
        body = {"access_token": token, "token_type": settings["token_type"], "expires_in": lifetime, "scope": scope,
                **settings["extra"]}
        if settings["refresh_tokens"] and (settings["rotate"] or not renewal):
            family = family or secrets.token_hex(8)
            fresh = "rt-" + secrets.token_urlsafe(32)
            self.refresh[fresh] = {"client": client["client_id"], "family": family, "used": 0, "scope": whole}
            body["refresh_token"] = fresh
        return {k: v for k, v in body.items() if v != "absent"}

    def may_read(self, headers: dict) -> bool:
        with self.lock:
            if self.settings["open"]:
                return True
            kind, _, token = headers.get("authorization", "").partition(" ")
            known = self.tokens.get(token) if kind.lower() == "bearer" else None
            return bool(known) and (not self.settings["enforce_expiry"] or known["expires_at"] > time.time())

    def all_secrets(self) -> dict:
        with self.lock:
            return {"access_tokens": list(self.tokens), "refresh_tokens": list(self.refresh),
                    "client_secrets": sorted(self.secrets_seen)}
