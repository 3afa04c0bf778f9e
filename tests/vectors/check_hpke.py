"""Opens HS/1's session vector with an implementation that shares no code with ours: PyPI `cryptography` >= 50.

    python tests/vectors/check_hpke.py [FOLDER OF THE VECTORS]

X-Wing and AES-256-GCM are its own; the key schedule (RFC 9180, section 5.1), the exports and the chain of data
envelopes are written out below. Exit status 0 only if every byte agrees.
"""

import hashlib
import hmac
import json
import pathlib
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SUITE = b"HPKE" + bytes.fromhex("647a00010002")
XWING_LABEL = bytes.fromhex("5c2e2f2f5e5c")
# Fields of the keys that are not in hex.
TEXTS = ("recovery_code", "relay_origin", "short_code")
checked = 0


def check(what, ours, theirs):
    global checked
    checked += 1
    if ours != theirs:
        sys.exit(f"{what} differs")


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def extract(salt, ikm):
    return hmac.new(salt or bytes(32), ikm, hashlib.sha256).digest()


def expand(prk, info, length):
    out, block, i = b"", b"", 1
    while len(out) < length:
        block = hmac.new(prk, block + info + bytes([i]), hashlib.sha256).digest()
        out, i = out + block, i + 1
    return out[:length]


def labeled_extract(salt, label, ikm):
    return extract(salt, b"HPKE-v1" + SUITE + label + ikm)


def labeled_expand(prk, label, info, length):
    return expand(prk, length.to_bytes(2, "big") + b"HPKE-v1" + SUITE + label + info, length)


def raw(public):
    return public.public_bytes(Encoding.Raw, PublicFormat.Raw)


def xwing_keys(seed):
    """draft-connolly-cfrg-xwing-kem, section 5.2."""
    expanded = hashlib.shake_256(seed).digest(96)
    ml_kem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
    return ml_kem, X25519PrivateKey.from_private_bytes(expanded[64:])


def xwing_decapsulate(keys, enc):
    ml_kem, x25519 = keys
    ml_kem_shared = ml_kem.decapsulate(enc[:1088])
    x25519_shared = x25519.exchange(X25519PublicKey.from_public_bytes(enc[1088:]))
    return hashlib.sha3_256(
        ml_kem_shared + x25519_shared + enc[1088:] + raw(x25519.public_key()) + XWING_LABEL
    ).digest()


def key_schedule(shared, info):
    """RFC 9180, section 5.1, base mode."""
    context = b"\x00" + labeled_extract(b"", b"psk_id_hash", b"") + labeled_extract(b"", b"info_hash", info)
    secret = labeled_extract(shared, b"secret", b"")
    key = labeled_expand(secret, b"key", context, 32)
    nonce = labeled_expand(secret, b"base_nonce", context, 12)
    return key, nonce, labeled_expand(secret, b"exp", context, 32)


def open_with_library(keys, enc, ciphertext, info, aad, plaintext):
    """The library's own HPKE; its function with AAD is not public, and may be missing in another version."""
    from cryptography.hazmat.bindings._rust import openssl
    from cryptography.hazmat.primitives import hpke

    opener = getattr(openssl.hpke, "_decrypt_with_aad", None)
    if opener is None:
        return "not by the library's own HPKE (no AAD in this version)"
    suite = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
    private = hpke.MLKEM768X25519PrivateKey(*keys)
    check("the library's plaintext", plaintext, opener(suite, enc + ciphertext, private, info, aad))
    return "also by the library's own HPKE"


def check_init(keys, init, seed_public):
    field = {name: bytes.fromhex(value) for name, value in init.items() if isinstance(value, str)}
    ml_kem, x25519 = keys
    check("the epoch public key", seed_public, raw(ml_kem.public_key()) + raw(x25519.public_key()))
    key, nonce, exporter = key_schedule(xwing_decapsulate(keys, field["enc"]), field["info"])
    plaintext = AESGCM(key).decrypt(nonce, field["ciphertext"], field["aad"])
    check("the init's plaintext", plaintext, field["plaintext"])
    exports = []
    for export in init["exports"]:
        exports.append(labeled_expand(exporter, b"sec", bytes.fromhex(export["context"]), 32))
        check("an export", exports[-1], bytes.fromhex(export["value"]))
    return field, exports, open_with_library(
        keys, field["enc"], field["ciphertext"], field["info"], field["aad"], plaintext
    )


def check_signature(vector, field, auth):
    fields = field["fields"]
    length = int.from_bytes(field["plaintext"][:4], "big")
    check("the fields", field["plaintext"][4 : 4 + length], fields)
    signature = field["plaintext"][4 + length : 4 + length + 64]
    digest = sha256(field["aad"], field["enc"], field["info"], fields, auth)
    check("the signed hash", digest, field["signed_hash"])
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(vector["keys"]["grant_public_key"]))
    key.verify(signature, b"hs/1 init\0" + digest)
    check("the padding", field["plaintext"][4 + length + 64 :], bytes(2048 - 4 - length - 64))


def check_counted(case, secret, label):
    envelope, salt = bytes.fromhex(case["envelope"]), bytes.fromhex(case["salt"])
    key = expand(secret, label + b"\0" + salt, 44)
    check("a key and nonce", key, bytes.fromhex(case["key_and_nonce"]))
    plaintext = AESGCM(key[:32]).decrypt(key[32:], envelope[42:], bytes.fromhex(case["aad"]))
    body = bytes.fromhex(case["body"])
    padded = len(body).to_bytes(4, "big") + body
    check("a padded body", plaintext, padded + bytes(case["padded_len"] - len(padded)))


def check_names(keys):
    field = {name: bytes.fromhex(value) for name, value in keys.items() if name not in TEXTS}
    check("the epoch key id", sha256(field["epoch_public_key"])[:8], field["epoch_key_id"])
    origin = keys["relay_origin"].encode()
    prk = extract(b"", field["account_secret"])
    deposit = expand(prk, b"hs/1 deposit\0" + origin + (0).to_bytes(4, "big"), 32)
    check("the deposit key", deposit, field["deposit_key_seed"])
    deposit_public = raw(Ed25519PrivateKey.from_private_bytes(deposit).public_key())
    check("the deposit public key", deposit_public, field["deposit_public_key"])
    grant = sha256(b"hs/1 grant\0", field["organization_id"], deposit_public)
    check("the grant id", grant, field["grant_id"])
    check("the grant key", expand(prk, b"hs/1 grant-key\0" + grant, 32), field["grant_key_seed"])


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    vector = json.loads((folder / "hs1-session.json").read_text())
    check_names(vector["keys"])
    keys = xwing_keys(bytes.fromhex(vector["keys"]["epoch_seed"]))
    public = bytes.fromhex(vector["keys"]["epoch_public_key"])
    field, (auth, chain, reply), library = check_init(keys, vector["init"], public)
    check_signature(vector, field, auth)
    for case in vector["data"]:
        check("a chain key", chain, bytes.fromhex(case["chain_key"]))
        check_counted(case, chain, b"hs/1 msg")
        chain = expand(chain, b"hs/1 next\0", 32)
    check_counted(vector["reply"], reply, b"hs/1 reply")
    print(f"hs1-session.json: {checked} checks hold, opened {library}")


main()
