"""The installed gateway: activation by its socket, a user of its own, no network, the rule that names its unit."""
import os

from harness import command, journal_tail, output, root_call, show, test, uid

UNIT = "fhird-gateway.service"
# Not the unit's own port: the token server of these tests has that one.
ADDRESS = "127.0.0.1:8581"
EXPOSURE_MAX = 1.0


def get(path):
    """The status and the headers of an answer, in one text."""
    return output("curl", "--silent", "--include", "--max-time", "10", f"http://{ADDRESS}{path}")


@test("gateway", "the first request starts the gateway, which finds the daemon")
def activation():
    os.makedirs("/etc/systemd/system/fhird-gateway.socket.d", exist_ok=True)
    with open("/etc/systemd/system/fhird-gateway.socket.d/address.conf", "w") as file:
        file.write(f"[Socket]\nListenStream=\nListenStream={ADDRESS}\n")
    command("systemctl", "daemon-reload")
    command("systemctl", "start", "fhird-gateway.socket")
    assert show("ActiveState", UNIT) == "inactive"
    assert get("/readyz").startswith("HTTP/1.1 200 "), get("/readyz")
    assert show("ActiveState", UNIT) == "active"
    assert show("StatusText", UNIT) == f"listening on {ADDRESS}"


@test("gateway", "it runs as a user of its own, in a network of its own, and sees neither state nor key")
def confined():
    pid = show("MainPID", UNIT)
    owner = os.stat(f"/proc/{pid}").st_uid
    assert owner not in (0, uid("fhird")), owner
    assert os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/1/ns/net")
    # What the mount namespace shows there has no mode that lets anyone in.
    for place in ("/var/lib/fhird", "/etc/fhird", "/etc/credstore.encrypted"):
        assert os.stat(f"/proc/{pid}/root{place}").st_mode & 0o777 == 0, place


@test("gateway", "the sandbox scores 1.0 or lower")
def sandbox():
    last = output("systemd-analyze", "security", "--no-pager", UNIT).splitlines()[-1]
    assert float(last.split(":")[1].split()[0]) <= EXPOSURE_MAX, last


@test("gateway", "a rule can name its unit, and no code gets into its journal")
def rule():
    callback = "/fhir-connections/callback?state=gateway-check&code=gateway-secret"
    answer = get(callback)
    assert answer.startswith("HTTP/1.1 303 "), answer
    made = root_call("access.grant", principal=f"unit:{UNIT}", methods=[
        "authorization.complete", "authorization.start", "jwks.get", "health.get"])
    assert made["principal"] == f"unit:{UNIT}", made
    assert get(callback).startswith("HTTP/1.1 303 ")
    assert "gateway-secret" not in output("journalctl", "--unit", UNIT, "--output", "cat"), journal_tail()


@test("gateway", "requests wait while it is started again")
def restart():
    command("systemctl", "restart", UNIT)
    assert get("/healthz").startswith("HTTP/1.1 200 ")
    command("systemctl", "stop", UNIT)
    assert get("/healthz").startswith("HTTP/1.1 200 ")
