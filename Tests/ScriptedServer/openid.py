"""The scripted server's OpenID Connect: key sets, and id_tokens that are signed with them or not. No sockets in here."""
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "Peers" / "lib"))
import jose  # noqa: E402

LIFETIME_SECONDS = 300
ALGORITHM = "ES256"


class Keys:
    """Private keys by kid, made when they are first asked for."""

    def __init__(self) -> None:
        self.directory = tempfile.TemporaryDirectory(prefix="scripted-keys-")
        self.paths = {}

    def path(self, kid: str) -> str:
        if kid not in self.paths:
            path = os.path.join(self.directory.name, f"{len(self.paths)}.pem")
            jose.openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)
            self.paths[kid] = path
        return self.paths[kid]

    def public(self, kids: list) -> dict:
        return {"keys": [jose.public_jwk(self.path(kid), kid, ALGORITHM) for kid in kids]}

    def id_token(self, kid: str, issuer: str, client: str, nonce, claims: dict) -> str:
        now = int(time.time())
        all_claims = {"iss": issuer, "sub": "user-1", "aud": client, "iat": now, "exp": now + LIFETIME_SECONDS,
                      "nonce": nonce, **claims}
        return jose.sign(self.path(kid), kid, ALGORITHM, {k: v for k, v in all_claims.items() if v is not None})
