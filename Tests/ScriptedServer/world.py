"""What the scripted server knows: its settings, rules, and a record of every request (grants.py: clients and tokens).
No sockets in here."""
import fnmatch
import threading
import time
import urllib.parse

from grants import GRANT_DEFAULTS, Grants

# What a request's body must not show in the log unless the test asks for it.
SECRET_FIELDS = {"client_secret", "client_assertion", "refresh_token", "code", "code_verifier", "token"}
SECRET_HEADERS = {"authorization", "cookie", "proxy-authorization"}

DEFAULTS = {
    **GRANT_DEFAULTS,
    "log_secrets": False,
    "discovery": "smart-configuration",  # or "capability-statement", "oauth-metadata", "none"
    "revocation": True,       # false: there is no revocation endpoint, and none is declared
    "introspection": True,    # the same of introspection
    "open": False,            # reads need no token and nothing is declared about security
    "enforce_expiry": True,   # a read with an expired token is 401
}


class World(Grants):
    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.released = threading.Condition(self.lock)
        self.started = time.time()
        self.reset()

    def reset(self) -> None:
        with self.lock:
            self.settings = dict(DEFAULTS)
            self.rules, self.log = [], []
            self.reset_grants()
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
                 "trickle_seconds", "note", "raw_headers", "gzip", "settings", "lose_reply", "carry_out", "bundle"}
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
                    "connections_high_water": self.connections_high_water, **self.grant_stats()}

    # Secrets ---------------------------------------------------------------------------------------------------------

    def remember(self, secret) -> None:
        """Every form a secret takes on the wire, for the secret hunt."""
        if not secret or not isinstance(secret, str):
            return
        with self.lock:
            self.secrets_seen.update({secret, urllib.parse.quote_plus(secret)})

    def all_secrets(self) -> dict:
        with self.lock:
            return {"access_tokens": list(self.tokens), "refresh_tokens": list(self.refresh), "codes": list(self.codes),
                    "client_secrets": sorted(self.secrets_seen)}
