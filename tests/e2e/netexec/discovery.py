"""What a Pod does that trusts nothing but its own files: find the issuer of its token and verify the token with the
issuer's published keys (joserfc). The first argument is where the library is installed. Prints the subject."""

from __future__ import annotations

import encodings.idna  # noqa: F401 - imported only when it is needed, else
import json
import ssl
import sys
import urllib.request
from typing import Any

sys.path.append(sys.argv[1])

from joserfc import jwk, jwt
from joserfc.jwk import ECKey

HOME = "/var/run/secrets/kubernetes.io/serviceaccount"
ALGORITHMS = ["ES256", "RS256"]


def read(url: str, token: str) -> tuple[str, Any]:
    """The type and the decoded body."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    context = ssl.create_default_context(cafile=f"{HOME}/ca.crt")
    with urllib.request.urlopen(request, context=context, timeout=20) as answer:
        return answer.headers["Content-Type"], json.load(answer)


def main() -> None:
    with open(f"{HOME}/token") as file:
        token = file.read()
    issuer = claims(token)["iss"]
    kind, found = read(f"{issuer}/.well-known/openid-configuration", token)
    assert kind == "application/json" and found["issuer"] == issuer, (kind, found)
    assert found["response_types_supported"] == ["id_token"] and found["subject_types_supported"] == ["public"]
    kind, keys = read(found["jwks_uri"], token)
    assert kind == "application/jwk-set+json", kind
    verified = jwt.decode(
        token, jwk.KeySet.import_key_set(keys), algorithms=found["id_token_signing_alg_values_supported"]
    )
    print(f"verified {verified.claims['sub']}")


def claims(token: str) -> dict[str, Any]:
    """What the token says, unverified."""
    import base64

    part = token.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))))


def modules() -> list[str]:
    """What is imported by the time that a token is verified."""
    key = ECKey.generate_key("P-256", auto_kid=True)
    token = jwt.encode({"alg": "ES256", "kid": key.kid}, {"iss": "x"}, key)
    keys = jwk.KeySet([key]).as_dict(private=False)
    jwt.decode(token, jwk.KeySet.import_key_set(keys), algorithms=ALGORITHMS)
    claims(token)
    urllib.request.build_opener(urllib.request.HTTPSHandler(context=ssl.create_default_context()))
    return [name for module in list(sys.modules.values()) if (name := getattr(module, "__file__", None))]


if __name__ == "__main__":
    if sys.argv[-1] == "--modules":
        print("\n".join(modules()))
    else:
        main()
