"""The scripted server's OAuth: codes, tokens, refresh families, revocation, introspection. No sockets in here."""
import base64
import hashlib
import secrets
import time
import urllib.parse

import assertions
import openid

GRANT_DEFAULTS = {
    "expires_in": 300,        # any JSON value; "absent" leaves the member out
    "token_type": "Bearer",
    "scope": "asked",         # "asked" echoes the request's; "absent" leaves the member out; else this text
    "token_bytes": 48,        # length of an access token
    "extra": {},              # more members of the token response (launch context)
    "refresh_tokens": False,  # give refresh tokens; false in a rule's `token`: none in this answer, and the old one lives
    "rotate": True,           # a used refresh token is dead; false: every answer repeats the same one
    "reuse": "revoke_family", # a dead one used again ends its family; "grace": within grace_seconds of its use it gets
    "grace_seconds": 10,      # the same new pair once more, and ends its family after that
    "refresh_scope": "any",   # or "required" (a refresh without scope is refused), "forbidden" (one with it is)
    "pkce": "require",        # S256 only; "ignore": neither wanted nor checked; "refuse": a challenge is an error
    "aud": "exact",           # of the authorization request: the tenant's FHIR base; "slash": with a slash behind it;
                              # "ignored"
    "launch": None,           # the value that `launch` must have in the authorization request; null: any or none
    "answers_iss": False,     # `iss` in the authorization response: true (the tenant's own) or another text
    "iss_in_errors": True,    # false: only beside a code, as django-oauth-toolkit does
    "declares_iss": False,    # authorization_response_iss_parameter_supported in the metadata
    "metadata": {},  # members of the discovery documents, on top of the others
    "authorize_error": None,  # {"error": …, "error_description": …, "error_uri": …}: the answer to all who log in
    "code_seconds": 60,
    "registration": None,     # {"token": null or what lets a request in, "answer": {…}}: dynamic registration (RFC 7591)
    "device": None,           # {"interval": 1}: device authorization (RFC 8628); members of its answer, "absent": left out
    "openid": None,           # {"kid": …, "published": [kids], "claims": {…}}: an id_token for logins with that scope, signed
                              # with the key `kid`; PREFIX/jwks publishes the keys `published`
    "assertion_jwks": None,   # a JWK set: clients without one of their own may sign with these (private_key_jwt)
}
CLIENT_METHODS = ["basic", "post", "private_key_jwt"]  # unless the client says otherwise


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def refusal(error: str, words: str, status: int = 400) -> tuple:
    return status, {"error": error, "error_description": words}


class Grants:
    """What a `World` knows of clients and their grants; `self.lock`, `self.settings`, `self.remember` are its own."""

    def reset_grants(self) -> None:
        self.keys = openid.Keys()
        self.clients, self.codes, self.tokens, self.refresh = {}, {}, {}, {}
        self.devices = {}  # by user code
        self.dead_families, self.jtis = set(), set()
        self.presented = {}  # digest of a refresh token: how many requests brought it, answered or not
        self.reuse_detected, self.code_reuse_detected = 0, 0
        self.assertions_good, self.assertion_problems = 0, []

    def add_client(self, client: dict) -> None:
        """`client_id`, `client_secret`, `methods` (of basic, post, none, private_key_jwt), `encoding` (rfc6749 or raw;
        absent: either), `scopes` and `redirect_uris` (absent: all), `jwks`, `token` (what differs from the settings)."""
        known = {"client_id", "client_secret", "methods", "encoding", "scopes", "redirect_uris", "jwks", "token"}
        if set(client) - known:
            raise ValueError(f"unknown members: {set(client) - known}")
        with self.lock:
            self.clients[client["client_id"]] = client
            self.remember(client.get("client_secret"))

    def note_request(self, path: str, form: dict) -> None:
        """Counts what a token request presents, before anything is done about it."""
        with self.lock:
            for name in ("refresh_token", "code_verifier", "code"):
                self.remember(form.get(name))
            if path.endswith("/token") and form.get("refresh_token"):
                key = digest(form["refresh_token"])
                self.presented[key] = self.presented.get(key, 0) + 1

    def grant_stats(self) -> dict:
        return {"tokens_issued": len(self.tokens), "refresh_issued": len(self.refresh),
                "refresh_presented": dict(self.presented),
                "refresh_presented_max": max(self.presented.values(), default=0),
                "reuse_detected": self.reuse_detected, "code_reuse_detected": self.code_reuse_detected,
                "families_dead": len(self.dead_families),
                "assertions_good": self.assertions_good, "assertion_problems": list(self.assertion_problems)}

    def expire(self, refresh_too: bool) -> None:
        with self.lock:
            for token in self.tokens.values():
                token["expires_at"] = 0
            if refresh_too:
                self.dead_families |= {known["family"] for known in self.refresh.values()}

    # Who is asking ---------------------------------------------------------------------------------------------------

    def authenticate(self, headers: dict, form: dict, url: str = ""):
        """(client, how, None) or (None, how, error). `how`: basic, basic_rfc6749, basic_raw, post, none or
        private_key_jwt."""
        authorization, in_body = headers.get("authorization", ""), "client_secret" in form
        asserted = "client_assertion" in form
        basic = authorization.lower().startswith("basic ")
        if basic + in_body + asserted > 1:
            return None, "two", "two client authentications in one request"
        if basic:
            return self.by_basic(authorization.split(" ", 1)[1])
        if in_body:
            self.remember(form["client_secret"])
            client = self.clients.get(form.get("client_id", ""))
            if client and client.get("client_secret") == form["client_secret"]:
                if "post" not in client.get("methods", CLIENT_METHODS):
                    return None, "post", "this client may not authenticate so"
                return client, "post", None
            return None, "post", "unknown client or wrong secret"
        if asserted:
            return self.by_assertion(form, url)
        client = self.clients.get(form.get("client_id", ""))
        if client and "none" in client.get("methods", []):
            return client, "none", None
        return None, "none", "no client authentication"

    def by_basic(self, credentials: str):
        self.remember(credentials)
        try:
            pair = base64.b64decode(credentials, validate=True).decode()
            raw = tuple(pair.split(":", 1))
            decoded = tuple(urllib.parse.unquote_plus(part) for part in raw)
        except (ValueError, UnicodeDecodeError):
            return None, "basic", "the Basic credentials do not decode"
        for how, candidate in (("basic_rfc6749", decoded), ("basic_raw", raw)):
            client = self.clients.get(candidate[0])
            if client and len(candidate) == 2 and client.get("client_secret") == candidate[1]:
                how = "basic" if raw == decoded else how
                allowed = client.get("methods", CLIENT_METHODS)
                wrong = how != "basic" and client.get("encoding") and how != "basic_" + client["encoding"]
                if "basic" not in allowed or wrong:
                    return None, how, "this client may not authenticate so"
                return client, how, None
        return None, "basic", "unknown client or wrong secret"

    def by_assertion(self, form: dict, url: str):
        self.remember(form["client_assertion"])
        named = form.get("client_id", "")
        try:
            claimed = assertions.part(form["client_assertion"].split(".")[1]).get("sub")
        except (ValueError, IndexError, UnicodeDecodeError):
            claimed = None
        client = self.clients.get(claimed if isinstance(claimed, str) else named)
        jwks = (client or {}).get("jwks") or self.settings["assertion_jwks"] or {}
        # RFC 7523 section 3: the token endpoint's URL names the authorization server, at its other endpoints too.
        audience = url.rsplit("/", 1)[0] + "/token"
        _, problem = assertions.judge(form["client_assertion"], form.get("client_assertion_type", ""), jwks, audience,
                                      named, self.jtis)
        if problem is None and client is None:
            problem = "unknown client"
        if problem is None and "private_key_jwt" not in client.get("methods", CLIENT_METHODS):
            problem = "this client may not authenticate so"
        if problem is not None:
            self.assertion_problems.append(problem)
            return None, "private_key_jwt", problem
        self.assertions_good += 1
        return client, "private_key_jwt", None

    # The authorization endpoint --------------------------------------------------------------------------------------

    def authorize(self, pairs: list, tenant: str, overrides: dict):
        """Where the browser goes next: (Location, outcome), or (None, why): a page for the person, no redirect.
        `tenant` is its origin and prefix. The user is always there and always says yes, unless a setting says no."""
        with self.lock:
            asked = dict(pairs)
            client = self.clients.get(asked.get("client_id", ""))
            if client is None:
                return None, "unknown client"
            back = asked.get("redirect_uri", "")
            allowed = client.get("redirect_uris")
            if not urllib.parse.urlsplit(back).scheme or "#" in back or (allowed is not None and back not in allowed):
                return None, "the redirect_uri is not registered"
            settings = {**self.settings, **client.get("token", {}), **overrides}
            problem = self.authorize_problem(asked, pairs, tenant, client, settings)
            answer = {}
            if problem:
                answer.update({k: v for k, v in problem.items() if v is not None})
            else:
                code = "code-" + secrets.token_urlsafe(24)
                self.codes[code] = {
                    "client": client["client_id"], "redirect_uri": back, "scope": asked["scope"], "tenant": tenant,
                    "challenge": None if settings["pkce"] == "ignore" else asked.get("code_challenge"),
                    "expires_at": time.time() + settings["code_seconds"], "used": False, "nonce": asked.get("nonce"),
                    "family": secrets.token_hex(8)}
                answer["code"] = code
                self.remember(code)
            if "state" in asked:
                answer["state"] = asked["state"]
            if settings["answers_iss"] and (not problem or settings["iss_in_errors"]):
                answer["iss"] = tenant if settings["answers_iss"] is True else settings["answers_iss"]
            return back + ("&" if "?" in back else "?") + urllib.parse.urlencode(answer), answer.get("error", "code")

    def authorize_problem(self, asked: dict, pairs: list, tenant: str, client: dict, settings: dict):
        def invalid(words: str, error: str = "invalid_request") -> dict:
            return {"error": error, "error_description": words}
        if len(asked) != len(pairs):
            return invalid("a parameter is there twice")
        if asked.get("response_type") != "code":
            return invalid("response_type is not code", "unsupported_response_type")
        if not asked.get("state"):
            return invalid("no state")
        if not asked.get("scope"):
            return invalid("no scope", "invalid_scope")
        if client.get("scopes") is not None and not set(asked["scope"].split()) <= set(client["scopes"]):
            return invalid("beyond what is registered", "invalid_scope")
        if settings["pkce"] == "require":
            if asked.get("code_challenge_method") != "S256":
                return invalid("code_challenge_method is not S256")
            if len(asked.get("code_challenge", "")) != 43:
                return invalid("code_challenge is not a SHA-256 in base64url without padding")
        if settings["pkce"] == "refuse" and {"code_challenge", "code_challenge_method"} & set(asked):
            return invalid("PKCE is not supported")
        expected = {"exact": tenant + "/fhir", "slash": tenant + "/fhir/"}.get(settings["aud"])
        if expected is not None and asked.get("aud") != expected:
            return invalid(f"aud is {asked.get('aud')!r}, not {expected!r}")
        if settings["launch"] is not None and asked.get("launch") != settings["launch"]:
            return invalid("launch is not the value that was given")
        return settings["authorize_error"]

    # The token endpoint ----------------------------------------------------------------------------------------------

    def token_answer(self, headers: dict, form: dict, overrides: dict, url: str):
        """(status, body, how the client authenticated) as RFC 6749 has them. `url` is the token endpoint's own."""
        with self.lock:
            client, how, problem = self.authenticate(headers, form, url)
            if client is None:
                return *refusal("invalid_client", problem, 401), how
            settings = {**self.settings, **client.get("token", {}), **overrides}
            grant = form.get("grant_type")
            if grant == "client_credentials":
                asked = form.get("scope", "")
                if client.get("scopes") is not None and not set(asked.split()) <= set(client["scopes"]):
                    return *refusal("invalid_scope", "beyond what is registered"), how
                return 200, self.issue(client, settings, asked, secrets.token_hex(8)), how
            if grant == "authorization_code":
                return *self.redeem(client, settings, form, url.removesuffix("/token")), how
            if grant == "refresh_token":
                return *self.refreshed(client, settings, form), how
            if grant == "urn:ietf:params:oauth:grant-type:device_code" and self.settings["device"]:
                return *self.device_token(client, settings, form), how
            return *refusal("unsupported_grant_type", f"not {grant!r}"), how

    def register(self, headers: dict, asked: dict):
        """(status, body) of the registration endpoint. Source: RFC 7591 section 3."""
        wanted = self.settings["registration"].get("token")
        if wanted and headers.get("authorization") != f"Bearer {wanted}":
            return refusal("invalid_token", f"not the initial access token: {headers.get('authorization')}", 401)
        method = asked.get("token_endpoint_auth_method", "client_secret_basic")
        if "authorization_code" in asked.get("grant_types", []) and not asked.get("redirect_uris"):
            return refusal("invalid_redirect_uri", "redirect_uris is missing")
        client = {"client_id": "dyn-" + secrets.token_hex(8), "redirect_uris": asked.get("redirect_uris")}
        if method.startswith("client_secret"):
            client["client_secret"] = "cs-" + secrets.token_urlsafe(24)
        elif method == "private_key_jwt":
            client.update(jwks=asked.get("jwks"), methods=["private_key_jwt"], client_secret="unused")
        else:
            client["methods"] = ["none"]
        self.add_client({k: v for k, v in client.items() if v is not None})
        return 201, {**asked, **{k: v for k, v in client.items() if k in ("client_id", "client_secret") and v != "unused"},
                     "client_secret_expires_at": 0, "registration_access_token": "rat-" + secrets.token_hex(8),
                     **self.settings["registration"].get("answer", {})}

    def device(self, headers: dict, form: dict, url: str):
        """(status, body, how) of the device authorization endpoint. Source: RFC 8628 section 3.2."""
        with self.lock:
            client, how, problem = self.authenticate(headers, form, url)
            if client is None:
                return *refusal("invalid_client", problem, 401), how
            user_code = secrets.token_hex(4).upper()
            known = {"client": client["client_id"], "code": "dc-" + secrets.token_urlsafe(32), "scope": form.get("scope", ""),
                     "decision": "authorization_pending", "asked_at": 0.0}
            self.devices[user_code] = known
            at = url.removesuffix("/device")
            body = {"device_code": known["code"], "user_code": user_code, "verification_uri": at + "/activate",
                    "verification_uri_complete": f"{at}/activate?user_code={user_code}", "expires_in": 300,
                    **self.settings["device"]}
            return 200, {k: v for k, v in body.items() if v != "absent"}, how

    def device_token(self, client: dict, settings: dict, form: dict) -> tuple:
        known = next((d for d in self.devices.values() if d["code"] == form.get("device_code")), None)
        if not known or known["client"] != client["client_id"]:
            return refusal("invalid_grant", "unknown device code")
        early = time.time() - known["asked_at"] < settings["device"].get("interval", 5) - 0.2
        known["asked_at"] = time.time()
        if known["decision"] == "approved":
            known["client"] = None
            return 200, self.issue(client, settings, known["scope"], secrets.token_hex(8))
        return refusal("slow_down" if early else known["decision"], "not yet" if early else known["decision"])

    def decide(self, user_code: str, decision: str) -> None:
        """What the person does at the verification page: `approved`, or an error (access_denied, expired_token)."""
        with self.lock:
            self.devices[user_code]["decision"] = decision

    def redeem(self, client: dict, settings: dict, form: dict, tenant: str) -> tuple:
        known = self.codes.get(form.get("code", ""))
        if not known or known["client"] != client["client_id"] or known["tenant"] != tenant:
            return refusal("invalid_grant", "unknown code")
        if known["used"]:
            self.code_reuse_detected += 1
            self.end_family(known["family"])
            return refusal("invalid_grant", "code used twice")
        if known["expires_at"] <= time.time():
            return refusal("invalid_grant", "the code has expired")
        if form.get("redirect_uri") != known["redirect_uri"]:
            return refusal("invalid_grant", "redirect_uri is not the authorization request's")
        verifier = form.get("code_verifier")
        if known["challenge"] is not None:
            hashed = hashlib.sha256((verifier or "").encode()).digest()
            if base64.urlsafe_b64encode(hashed).rstrip(b"=").decode() != known["challenge"]:
                return refusal("invalid_grant", "code_verifier does not match")
            if not 43 <= len(verifier) <= 128:
                return refusal("invalid_grant", "code_verifier is not 43 to 128 characters long")
        elif verifier is not None and settings["pkce"] == "refuse":
            return refusal("invalid_request", "PKCE is not supported")
        known["used"] = True
        answer = self.issue(client, settings, known["scope"], known["family"])
        if settings["openid"] and "openid" in known["scope"].split():
            answer["id_token"] = self.keys.id_token(settings["openid"]["kid"], tenant, client["client_id"],
                                                    known["nonce"], settings["openid"].get("claims", {}))
        return 200, answer

    def refreshed(self, client: dict, settings: dict, form: dict) -> tuple:
        known = self.refresh.get(form.get("refresh_token", ""))
        if not known or known["client"] != client["client_id"] or known["family"] in self.dead_families:
            if known and known["used_at"] is not None:
                self.reuse_detected += 1
            return refusal("invalid_grant", "unknown refresh token")
        if settings["refresh_scope"] == "required" and "scope" not in form:
            return refusal("invalid_request", "scope is missing")
        if settings["refresh_scope"] == "forbidden" and "scope" in form:
            return refusal("invalid_scope", "a refresh takes no scope")
        scope = form.get("scope", known["scope"])
        if not set(scope.split()) <= set(known["scope"].split()):
            return refusal("invalid_scope", "more than was granted")
        if known["used_at"] is not None:
            if settings["reuse"] == "grace" and time.time() - known["used_at"] <= settings["grace_seconds"]:
                return 200, dict(known["answer"])
            self.reuse_detected += 1
            self.end_family(known["family"])
            return refusal("invalid_grant", "refresh token used twice")
        keep = None if settings["rotate"] else form["refresh_token"]
        answer = self.issue(client, settings, scope, known["family"], known["scope"], keep)
        if answer.get("refresh_token", form["refresh_token"]) != form["refresh_token"]:
            known["used_at"], known["answer"] = time.time(), answer
        return 200, answer

    def issue(self, client: dict, settings: dict, asked: str, family: str, granted=None, keep=None) -> dict:
        """A token response. `granted`: the refresh token's scope, where this answer has less; `keep`: repeat this one."""
        token = "at-" + secrets.token_urlsafe(settings["token_bytes"])[:settings["token_bytes"]]
        lifetime = settings["expires_in"]
        try:
            seconds = float(lifetime)
        except (TypeError, ValueError):
            seconds = 3600.0
        scope = asked if settings["scope"] == "asked" else settings["scope"]
        self.tokens[token] = {"client": client["client_id"], "expires_at": time.time() + seconds, "scope": scope,
                              "family": family, "revoked": False, "extra": settings["extra"]}
        body = {"access_token": token, "token_type": settings["token_type"], "expires_in": lifetime, "scope": scope,
                **settings["extra"]}
        if settings["refresh_tokens"]:
            fresh = keep or "rt-" + secrets.token_urlsafe(32)
            self.refresh.setdefault(fresh, {"client": client["client_id"], "family": family, "used_at": None,
                                            "scope": granted or asked, "answer": None})
            body["refresh_token"] = fresh
        return {k: v for k, v in body.items() if v != "absent"}

    # Afterwards ------------------------------------------------------------------------------------------------------

    def end_family(self, family: str) -> None:
        self.dead_families.add(family)
        for token in self.tokens.values():
            if token["family"] == family:
                token["revoked"] = True

    def revoke(self, headers: dict, form: dict, url: str):
        """(status, body, how). 200 for tokens that are unknown or another client's. Source: RFC 7009 section 2.2."""
        with self.lock:
            client, how, problem = self.authenticate(headers, form, url)
            if client is None:
                return *refusal("invalid_client", problem, 401), how
            if not form.get("token"):
                return *refusal("invalid_request", "no token"), how
            known = self.refresh.get(form["token"])
            if known and known["client"] == client["client_id"]:
                self.end_family(known["family"])
            known = self.tokens.get(form["token"])
            if known and known["client"] == client["client_id"]:
                known["revoked"] = True
            return 200, {}, how

    def introspect(self, headers: dict, form: dict, url: str):
        """(status, body, how), by client authentication or any valid token as bearer. Source: RFC 7662 section 2."""
        with self.lock:
            if headers.get("authorization", "").lower().startswith("bearer "):
                if self.valid(headers["authorization"].split(" ", 1)[1]) is None:
                    return *refusal("invalid_token", "the bearer token is not valid", 401), "bearer"
                how = "bearer"
            else:
                client, how, problem = self.authenticate(headers, form, url)
                if client is None:
                    return *refusal("invalid_client", problem, 401), how
            if not form.get("token"):
                return *refusal("invalid_request", "no token"), how
            known = self.valid(form["token"])
            if known:
                return 200, {"active": True, "client_id": known["client"], "scope": known["scope"],
                             "token_type": "Bearer", "exp": int(known["expires_at"]), **known["extra"]}, how
            known = self.refresh.get(form["token"])
            if known and known["used_at"] is None and known["family"] not in self.dead_families:
                return 200, {"active": True, "client_id": known["client"], "scope": known["scope"]}, how
            return 200, {"active": False}, how

    def valid(self, token: str):
        known = self.tokens.get(token)
        return known if known and not known["revoked"] and known["expires_at"] > time.time() else None

    def may_read(self, headers: dict) -> bool:
        with self.lock:
            if self.settings["open"]:
                return True
            kind, _, token = headers.get("authorization", "").partition(" ")
            known = self.tokens.get(token) if kind.lower() == "bearer" else None
            if not known or known["revoked"]:
                return False
            return not self.settings["enforce_expiry"] or known["expires_at"] > time.time()
