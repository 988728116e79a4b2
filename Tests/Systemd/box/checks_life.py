"""Reload, watchdog, kill -9, restart under clients, stop under load."""
import os
import signal
import threading
import time

from client import Client, Closed
from harness import (
    ENV_FILE, SETTINGS, as_user, behave, code, command, create_connection, journal, journal_cursor, main_pid, output,
    root_call, show, test, token_requests, wait_for, write_settings)

STOP_SECONDS_MAX = 30


def ensure_connection(name):
    names = {c["connection_name"] for c in root_call("connection.list")["connections"]}
    if name not in names:
        create_connection(name)
    return root_call("token.get", connection=name)["access_token"]


@test("life", "systemctl reload brings changed settings into force")
def reload():
    assert any("loopback" in warning for warning in root_call("server.info")["warnings"])
    pid = main_pid()
    with Client() as client:
        write_settings(FHIRD_LOG_LEVEL="debug")
        command("systemctl", "reload", "fhird.service")
        wait_for("the warning about http goes", lambda: not client.result("server.info")["warnings"])
        write_settings(**SETTINGS)
        command("systemctl", "reload", "fhird.service")
        wait_for("and comes back", lambda: client.result("server.info")["warnings"])
    assert main_pid() == pid and show("ActiveState") == "active"


@test("life", "systemctl reload refuses broken settings by name, and the old ones stay")
def broken_reload():
    pid = main_pid()
    for key, value in (("FHIRD_REQUEST_TIMEOUT", "soon"), ("FHIRD_NO_SUCH_KEY", "1")):
        cursor = journal_cursor()
        write_settings(**SETTINGS, **{key: value})
        assert command("systemctl", "reload", "fhird.service", check=False).returncode != 0
        text = " ".join(str(entry.get("MESSAGE")) for entry in journal(cursor))
        assert key in text and ENV_FILE in text, text
        assert main_pid() == pid and show("ActiveState") == "active"
        assert root_call("server.info")["warnings"]
    write_settings(**SETTINGS)
    command("systemctl", "reload", "fhird.service")


@test("life", "a bare SIGHUP with broken settings is survived as well, and told")
def broken_hangup():
    pid, cursor = main_pid(), journal_cursor()
    write_settings(**SETTINGS, FHIRD_REQUEST_TIMEOUT="soon")
    os.kill(pid, signal.SIGHUP)
    wait_for("the refusal in the journal", lambda: any(
        "FHIRD_REQUEST_TIMEOUT" in str(list(entry.values())) for entry in journal(cursor)))
    assert main_pid() == pid and root_call("server.info")["warnings"]
    assert show("ActiveState") == "active"
    write_settings(**SETTINGS)
    command("systemctl", "reload", "fhird.service")


@test("life", "kill -9 costs a restart, but no connection and no token")
def killed():
    token = ensure_connection("life")
    requests, pid = token_requests("life"), main_pid()
    os.kill(pid, signal.SIGKILL)
    wait_for("another process", lambda: main_pid() not in (0, pid))
    assert root_call("token.get", connection="life")["access_token"] == token
    assert token_requests("life") == requests


@test("life", "a daemon that hangs is killed by the watchdog and started again, without a core file")
def watchdog():
    os.makedirs("/run/systemd/system/fhird.service.d", exist_ok=True)
    drop_in = "/run/systemd/system/fhird.service.d/watchdog.conf"
    with open(drop_in, "w", encoding="utf-8") as file:
        file.write("[Service]\nWatchdogSec=3\nTimeoutAbortSec=1\n")
    command("systemctl", "daemon-reload")
    command("systemctl", "restart", "fhird.service")
    pid = main_pid()
    time_alive = time.monotonic() + 8
    wait_for("more than two watchdog periods", lambda: time.monotonic() > time_alive)
    assert main_pid() == pid, "the watchdog killed a daemon that was well"
    cursor = journal_cursor()
    os.kill(pid, signal.SIGSTOP)
    wait_for("another process", lambda: main_pid() not in (0, pid))
    wait_for("the daemon is ready", lambda: show("ActiveState") == "active")
    assert any("atchdog timeout" in str(e.get("MESSAGE")) for e in journal(cursor)), "killed by something else"
    assert root_call("token.get", connection="life")["access_token"].startswith("token-of-life-")
    assert not [name for name in os.listdir("/var/lib/fhird") if name.startswith("core")]
    os.unlink(drop_in)
    command("systemctl", "daemon-reload")
    command("systemctl", "restart", "fhird.service")


class Callers:
    """Threads that connect, ask, and leave, over and over, until told to stop."""

    def __init__(self, count):
        self.stopping = threading.Event()
        self.refused, self.answers, self.closed, self.wrong = [], 0, 0, []
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.work, daemon=True) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def work(self):
        while not self.stopping.is_set():
            try:
                client = Client()
            except OSError as error:  # What must not happen: the socket is there at every moment.
                with self.lock:
                    self.refused.append(repr(error))
                continue
            try:
                answer = client.call("server.info")
                with self.lock:
                    self.answers += 1
                    if code(answer) not in ("ok", "SHUTTING_DOWN"):
                        self.wrong.append(answer)
            except Closed:
                with self.lock:
                    self.closed += 1
            except Exception as error:  # A timeout, an answer that is none: told at the end.
                with self.lock:
                    self.wrong.append(repr(error))
            finally:
                client.close()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(90)
        assert not any(thread.is_alive() for thread in self.threads), "a caller hangs"


@test("life", "three restarts under clients refuse no connection attempt, and every client is answered")
def restart_under_clients():
    callers = Callers(8)
    pids = [main_pid()]
    for _ in range(3):
        count = callers.answers
        wait_for("answers before the restart", lambda: callers.answers > count + 100)
        command("systemctl", "restart", "fhird.service")
        pids.append(main_pid())
    count = callers.answers
    wait_for("answers after the last restart", lambda: callers.answers > count + 100)
    callers.stop()
    assert len(set(pids)) == 4, pids
    assert not callers.refused, f"{len(callers.refused)} refused: {callers.refused[:3]}"
    assert not callers.wrong, callers.wrong[:3]
    # The old daemon may hang up on clients that it had accepted, at most one for each caller and restart.
    assert callers.closed <= 8 * 3, callers.closed


@test("life", "clients that connect while the daemon is down wait, and the next daemon answers them")
def wait_in_the_queue():
    command("systemctl", "stop", "fhird.service")
    waiting = [Client() for _ in range(20)]
    for client in waiting:
        assert client.call("server.info")["result"]["name"] == "fhird"
        client.close()
    assert show("ActiveState") == "active"


@test("life", "systemctl stop under load ends in time, cleanly, and answers those who wait")
def stop_under_load():
    create_connection("load")
    behave(delay=20)
    answers, threads = [], []

    def ask():
        with Client() as client:
            try:
                answers.append(code(client.call("token.get", connection="load")))
            except Closed:
                answers.append("closed")

    try:
        for _ in range(50):
            threads.append(threading.Thread(target=ask, daemon=True))
            threads[-1].start()
        wait_for("the token request is under way", lambda: token_requests("load") == 1)
        cursor, started = journal_cursor(), time.monotonic()
        command("systemctl", "stop", "fhird.service", timeout=STOP_SECONDS_MAX + 30)
        took = time.monotonic() - started
    finally:
        behave(delay=0)
    for thread in threads:
        thread.join(10)
    assert took < STOP_SECONDS_MAX, f"{took:.1f} s"
    assert (show("Result"), show("ExecMainStatus")) == ("success", "0"), (show("Result"), show("ExecMainStatus"))
    assert not any("Killing process" in str(e.get("MESSAGE")) for e in journal(cursor))
    assert len(answers) == 50 and set(answers) <= {"ok", "SHUTTING_DOWN"}, sorted(set(answers))
    assert os.path.exists("/run/fhird/fhird.sock"), "the socket went with the service"
    command("systemctl", "start", "fhird.service")
    assert root_call("token.get", connection="load")["access_token"].startswith("token-of-load-")
    assert token_requests("load") <= 2


@test("life", "status and journal are the same after all that: a client that asks is served")
def still_there():
    assert code(as_user("bob", "server.info")) == "ok"
    assert output("systemctl", "is-active", "fhird.service", "fhird.socket").split() == ["active", "active"]
