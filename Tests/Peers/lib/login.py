#!/usr/bin/python3
"""Logs a user in without a browser: follows an authorization URL through a peer's own login and consent pages.

  login.py glewlwyd|dot STATE_DIR AUTHORIZATION_URL [--deny] [--user NAME --password WORDS] [--ca FILE] [--seconds N]

Prints where the server sends the browser in the end: the redirect URI with code and state, or with the error. That
address is not fetched. Who logs in stands in STATE_DIR/env unless --user says otherwise. --ca is the CA of an https
server, --seconds (30) the deadline of it all. Standard library only. Exit status 1: no redirect came, and why.

Unlike `consent` of either peer it goes where the URL goes, through TLS and proxies, as a browser does.
"""
import argparse
import html.parser
import http.cookies
import json
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

STEPS_MAX = 10  # a login needs four pages; more is a loop


class Form(html.parser.HTMLParser):
    """The named <input> fields of a page's forms, and whether one asks for a password."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fields, self.password = {}, False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        field = dict(attrs)
        if tag == "input":
            self.password = self.password or field.get("type") == "password"
            if field.get("name"):
                self.fields[field["name"]] = field.get("value") or ""


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


class Browser:
    """One session: keeps cookies, follows nothing by itself, speaks to one origin only."""

    def __init__(self, url: str, ca: str, seconds: float) -> None:
        self.origin = urllib.parse.urlsplit(url)[:2]
        self.deadline = time.monotonic() + seconds
        self.cookies = http.cookies.SimpleCookie()
        handlers = [NoRedirect(), urllib.request.ProxyHandler({})]
        if self.origin[0] == "https":
            handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca)))
        self.opener = urllib.request.build_opener(*handlers)

    def call(self, method: str, url: str, form: object = None, document: object = None) -> tuple:
        """(status, absolute Location or "", page)"""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise SystemExit("login.py: the deadline has passed")
        if urllib.parse.urlsplit(url)[:2] != self.origin:
            raise SystemExit(f"login.py: the server sends the browser elsewhere: {url.split('?')[0]}")
        headers = {"Cookie": "; ".join(f"{c.key}={c.coded_value}" for c in self.cookies.values()),
                   "Referer": url.split("?")[0]}
        body = None
        if form is not None:
            body, headers["Content-Type"] = urllib.parse.urlencode(form), "application/x-www-form-urlencoded"
        elif document is not None:
            body, headers["Content-Type"] = json.dumps(document), "application/json"
        request = urllib.request.Request(url, body.encode() if body is not None else None, headers, method=method)
        try:
            reply = self.opener.open(request, timeout=left)
        except urllib.error.HTTPError as e:
            reply = e  # redirects and refusals are answers, too
        except OSError as e:
            raise SystemExit(f"login.py: {method} {url.split('?')[0]}: {e}")
        with reply:
            page = reply.read(1 << 20).decode("utf-8", "replace")
            for cookie in reply.headers.get_all("Set-Cookie") or []:
                self.cookies.load(cookie)
            location = reply.headers.get("Location", "")
            return reply.status, urllib.parse.urljoin(url, location) if location else "", page


def refuse(status: int, url: str, page: str) -> None:
    raise SystemExit(f"login.py: {status} at {url.split('?')[0]}, no redirect: {page.strip()[:300]}")


def by_pages(browser: Browser, url: str, back: str, user: str, password: str, deny: bool) -> str:
    """django-oauth-toolkit: forms, with their hidden fields and the CSRF token."""
    tried = False
    status, location, page = browser.call("GET", url)
    for _ in range(STEPS_MAX):
        if location.startswith(back):
            return location
        if location:
            url = location
            status, location, page = browser.call("GET", url)
            continue
        form = Form(page)
        if status != 200 or not form.fields:
            refuse(status, url, page)
        if form.password:
            if tried:
                raise SystemExit("login.py: user name or password refused")
            tried, answer = True, {**form.fields, "username": user, "password": password}
        else:
            answer = {k: v for k, v in form.fields.items() if k != "allow" or not deny}
        status, location, page = browser.call("POST", url, form=answer)
    raise SystemExit("login.py: the server's pages go round in a circle")


def by_api(browser: Browser, url: str, back: str, user: str, password: str, deny: bool) -> str:
    """Glewlwyd: its pages are a program for browsers, which calls this interface."""
    if deny:
        raise SystemExit("login.py: Glewlwyd sends no access_denied: who grants nothing sees the login page again")
    parts = urllib.parse.urlsplit(url)
    asked = dict(urllib.parse.parse_qsl(parts.query))
    status, location, page = browser.call("GET", url)
    if location.startswith(back):
        return location  # refused before anybody logged in
    if not location:
        refuse(status, url, page)
    api = f"{parts.scheme}://{parts.netloc}/api/auth/"
    status, _, page = browser.call("POST", api, document={"username": user, "password": password})
    if status != 200:
        raise SystemExit(f"login.py: user name or password refused ({status}) {page}")
    client = urllib.parse.quote(asked.get("client_id", ""), safe="")
    # 401: the user has none of these scopes; the authorization endpoint then says invalid_scope.
    status, _, page = browser.call("PUT", f"{api}grant/{client}", document={"scope": asked.get("scope", "")})
    if status not in (200, 401):
        refuse(status, f"{api}grant/", page)
    status, location, page = browser.call("GET", url + "&g_continue")
    if not location.startswith(back):
        refuse(status, location or url, page)
    return location


def main(argv: list) -> None:
    options = argparse.ArgumentParser(usage=__doc__, add_help=False)
    options.add_argument("server", choices=["glewlwyd", "dot"])
    options.add_argument("state")
    options.add_argument("url")
    options.add_argument("--deny", action="store_true")
    options.add_argument("--user")
    options.add_argument("--password")
    options.add_argument("--ca")
    options.add_argument("--seconds", type=float, default=30)
    given = options.parse_args(argv)
    lines = (Path(given.state) / "env").read_text().splitlines()
    env = {key: value[1:-1] for key, _, value in (line.partition("=") for line in lines)}
    back = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(given.url).query)).get("redirect_uri")
    if not back:
        raise SystemExit("login.py: the authorization URL has no redirect_uri")
    play = by_api if given.server == "glewlwyd" else by_pages
    print(play(Browser(given.url, given.ca or env.get("CA_FILE"), given.seconds), given.url, back,
               given.user or env["USERNAME"], given.password or env["PASSWORD"], given.deny))


if __name__ == "__main__":
    main(sys.argv[1:])
