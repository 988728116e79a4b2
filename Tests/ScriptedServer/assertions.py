"""Judges client assertions (private_key_jwt) as a strict SMART server does. No sockets in here."""
import base64
import json
import re
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "Peers" / "lib"))
import jose  # noqa: E402

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGORITHMS = ("RS384", "ES384")   # SMART names these two; RS256 and others are refused here
LIFETIME_SECONDS_MAX = 300        # SMART: "no more than five minutes in the future"


def part(text: str) -> dict:
    found = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found


def judge(assertion: str, kind: str, jwks: dict, audience: str, named: str, jtis: set) -> tuple:
    """(client id as claimed, None) or (client id or "", what is wrong). An id that was used is added to `jtis`."""
    if kind != ASSERTION_TYPE:
        return "", f"client_assertion_type is {kind!r}"
    if not re.fullmatch(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", assertion):
        return "", "the assertion is not three parts of base64url without padding"
    try:
        head_text, claims_text, signature_text = assertion.split(".")
        head, claims = part(head_text), part(claims_text)
        signature = base64.urlsafe_b64decode(signature_text + "=" * (-len(signature_text) % 4))
    except (ValueError, UnicodeDecodeError):
        return "", "the assertion is not a signed JWT"
    client = claims.get("sub") if isinstance(claims.get("sub"), str) else ""
    if head.get("typ") != "JWT":
        return client, "header: typ is not JWT"
    if head.get("alg") not in ALGORITHMS:
        return client, f"header: alg {head.get('alg')!r} is none of {', '.join(ALGORITHMS)}"
    if not isinstance(head.get("kid"), str):
        return client, "header: no kid"
    keys = [k for k in jwks.get("keys", []) if k.get("kid") == head["kid"]]
    if len(keys) != 1:
        return client, f"header: {len(keys)} keys have the kid {head['kid']!r}"
    if any(name in keys[0] for name in ("d", "p", "q", "dp", "dq", "qi", "k")):
        return client, "the key set has a private key in it"
    if keys[0].get("alg", head["alg"]) != head["alg"]:
        return client, "header: alg is not the key's"
    try:
        genuine = jose.verify(keys[0], head["alg"], f"{head_text}.{claims_text}".encode(), signature)
    except (ValueError, KeyError, subprocess.CalledProcessError) as e:
        return client, f"the key does not serve: {e}"
    if not genuine:
        return client, "the signature is not the key's"
    now = time.time()
    if not client or claims.get("iss") != client:
        return client, "iss and sub are not the same client id"
    if named and named != client:
        return client, "client_id is not the assertion's"
    if claims.get("aud") != audience:
        return client, f"aud {claims.get('aud')!r} is not {audience!r}"
    if type(claims.get("exp")) is not int:
        return client, "exp is not an integer"
    if claims["exp"] <= now:
        return client, "exp has passed"
    if claims["exp"] > now + LIFETIME_SECONDS_MAX:
        return client, f"exp is more than {LIFETIME_SECONDS_MAX} s ahead"
    for name in ("iat", "nbf"):
        if name in claims and claims[name] > now + 1:
            return client, f"{name} is in the future"
    if not isinstance(claims.get("jti"), str) or not claims["jti"]:
        return client, "no jti"
    if claims["jti"] in jtis:
        return client, "jti was used before"
    jtis.add(claims["jti"])
    return client, None
