#!/usr/bin/python3
"""Logs in with a real browser, headless Chromium, at a peer's own pages: types name and password, agrees, and ends at the
redirect URI.

  browser.py STATE_DIR AUTHORIZATION_URL [--screenshots DIR] [--chromium PATH] [--seconds N]

Who logs in stands in STATE_DIR/env. Prints the address and the words of the page that the browser ends at; what it did on
the way goes to standard error. Driven over the DevTools pipe; the standard library alone. Exit status 1: it did not get
there.
"""
import argparse
import base64
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

PAGE_SECONDS = 1  # a page's scripts need a moment
# What a person would do with the page that is there: type, tick, press. Returns what it did.
ACT = """(([user, password]) => {
  const set = (field, value) => {
    Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(field, value);
    field.dispatchEvent(new Event('input', {bubbles: true}));
    field.dispatchEvent(new Event('change', {bubbles: true}));
  };
  const visible = e => e.offsetParent !== null && !e.disabled;
  const secret = [...document.querySelectorAll('input[type=password]')].filter(visible)[0];
  if (secret && !secret.value) {
    const name = [...document.querySelectorAll('input[type=text],input[type=email],input:not([type])')].filter(visible)[0];
    if (name) set(name, user);
    set(secret, password);
    return 'typed';
  }
  const boxes = [...document.querySelectorAll('input[type=checkbox]')].filter(e => visible(e) && !e.checked);
  if (boxes.length) { boxes.forEach(b => b.click()); return 'ticked ' + boxes.length; }
  const words = /^(log ?in|sign in|connect|continue|grant|authorize|allow|accept|go on|yes|validate|send|ok)$/i;
  const buttons = [...document.querySelectorAll('button,input[type=submit],a.btn')].filter(visible);
  const text = b => (b.innerText || b.value || '').trim();
  const found = buttons.find(b => words.test(text(b)));
  if (found) { found.click(); return 'pressed ' + text(found); }
  return 'saw ' + buttons.map(text).join('|');
})"""


class Chromium:
    """The DevTools protocol over two pipes, which Chromium takes as descriptors 3 and 4; messages end with NUL."""

    def __init__(self, path, profile):
        to_child, self.out = os.pipe()
        self.inn, from_child = os.pipe()

        def place():
            # Out of the way first: one of them may be 3 or 4 itself.
            high = [os.dup(to_child), os.dup(from_child)]
            for number, descriptor in zip((3, 4), high):
                os.dup2(descriptor, number)
        self.process = subprocess.Popen(
            [path, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run",
             "--window-size=900,700", f"--user-data-dir={profile}", "about:blank"],
            close_fds=False, preexec_fn=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_child)
        os.close(from_child)
        self.rest, self.last = b"", 0

    def call(self, method, session=None, **params):
        self.last += 1
        message = {"id": self.last, "method": method, "params": params, **({"sessionId": session} if session else {})}
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self.rest:
                more = os.read(self.inn, 1 << 16)
                if not more:
                    raise SystemExit("browser.py: Chromium ended")
                self.rest += more
            line, self.rest = self.rest.split(b"\0", 1)
            answer = json.loads(line)
            if answer.get("id") == self.last:
                if "error" in answer:
                    raise SystemExit(f"browser.py: {method}: {answer['error']['message']}")
                return answer["result"]


def variables(directory):
    return dict(line.split("=", 1) for line in pathlib.Path(directory, "env").read_text().splitlines() if "=" in line)


def log_in(browser, options, user):
    """What a person does, a page a second, until the browser is where the server has sent it."""
    target = browser.call("Target.createTarget", url=options.url)["targetId"]
    session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    deadline, step, said = time.monotonic() + options.seconds, 0, ""

    def value(expression):
        return browser.call("Runtime.evaluate", session, expression=expression)["result"].get("value", "")
    while time.monotonic() < deadline:
        time.sleep(PAGE_SECONDS)
        step += 1
        where = value("location.href")
        if options.screenshots:
            data = browser.call("Page.captureScreenshot", session)["data"]
            pathlib.Path(options.screenshots, f"{step:02}.png").write_bytes(base64.b64decode(data))
        if where.startswith(options.until):
            return where, value("document.body.innerText")
        said = value(f"{ACT}({json.dumps(user)})")
        print(f"{where.split('?')[0]}: {said}", file=sys.stderr)
    raise SystemExit(f"browser.py: not at {options.until} in time; the last page: {said}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("state")
    parser.add_argument("url")
    parser.add_argument("--screenshots")
    parser.add_argument("--chromium", default="chromium")
    parser.add_argument("--until", default="http://127.0.0.1:8765/")
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    names = variables(options.state)
    user = [names[name].strip("'") for name in ("USERNAME", "PASSWORD")]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Chromium(options.chromium, profile)
        try:
            print(*log_in(browser, options, user), sep="\n")
        finally:
            browser.process.kill()
            browser.process.wait()


if __name__ == "__main__":
    main()
