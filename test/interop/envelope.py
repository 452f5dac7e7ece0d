#!/usr/bin/python3
"""The native envelope, format 1, written a second time from its description.

    envelope.py encrypt KEY AAD < plaintext     base64 envelope and a newline
    envelope.py decrypt KEY AAD < envelope      plaintext; exit status 1 if it does not open
    envelope.py vectors > native-1.json         the known answers, always the same bytes

KEY is 64 hex digits or the base64 of 32 bytes; AAD is text, '' for none. Needs
Debian's python3-cryptography and nothing of dbcrypt.
"""
import base64
import binascii
import hashlib
import json
import os
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MAGIC = bytes.fromhex("75b735")
INFO = b"dbcrypt/1/aes-256-gcm"


def parse_key(text):
    key = bytes.fromhex(text) if len(text) == 64 else base64.b64decode(text, validate=True)
    if len(key) != 32:
        raise ValueError("a key is 32 bytes")
    return key


def key_id(key):
    return hashlib.sha256(key).digest()[:7]


def cipher(key):
    return AESGCM(HKDF(hashes.SHA256(), 32, None, INFO).derive(key))


def encrypt(key, aad, plaintext, nonce):
    header = MAGIC + b"\x01" + key_id(key) + b"\x00"
    return header + nonce + cipher(key).encrypt(nonce, plaintext, header + aad)


def decrypt(key, aad, envelope):
    header, nonce, sealed = envelope[:12], envelope[12:24], envelope[24:]
    if len(sealed) < 16 or header != MAGIC + b"\x01" + key_id(key) + b"\x00":
        raise ValueError("not an envelope of this key")
    return cipher(key).decrypt(nonce, sealed, header + aad)


def vectors():
    def material(label, size):
        return hashlib.shake_256(label.encode()).digest(size)

    keys = [bytes(range(32)), b"\x00" * 32, b"a" * 32, material("key", 32)]
    cases = [
        ("empty", b"", b""),
        ("one byte", b"x", b""),
        ("two bytes", b"xy", b""),
        ("three bytes", b"xyz", b""),
        ("canary", b"dbcrypt", b""),
        ("block less one", material("15", 15), b""),
        ("block", material("16", 16), b"user:42"),
        ("block and one", material("17", 17), b"user:42"),
        ("token", b"gho_16C7e42F292c6912E7710c838347Ae178B4a", b"external_auth_links.oauth_access_token"),
        ("empty with AAD", b"", b"tenant-1"),
        ("UTF-8", "пароль-密码-🔑".encode(), "Zoë".encode()),
        ("zero bytes", b"\x00" * 33, b"\x00"),
        ("long AAD", b"secret", material("aad", 243)),
        ("AAD longer than a joined call", b"secret", material("aad", 245)),
        ("very long AAD", b"secret", material("aad", 1000)),
        ("one KiB", material("1024", 1024), b"row 7"),
        ("4099 bytes", material("4099", 4099), b""),
    ]
    found = []
    for number, (name, plaintext, aad) in enumerate(cases):
        key = keys[number % len(keys)]
        nonce = material("nonce %d" % number, 12)
        envelope = encrypt(key, aad, plaintext, nonce)
        found.append(
            {
                "name": name,
                "key_hex": key.hex(),
                "key_id": key_id(key).hex(),
                "aad_hex": aad.hex(),
                "nonce_hex": nonce.hex(),
                "plaintext_hex": plaintext.hex(),
                "envelope_hex": envelope.hex(),
                "envelope_text": base64.b64encode(envelope).decode(),
            }
        )
    return {"format": "native envelope, format 1", "vectors": found}


def main(arguments):
    if arguments == ["vectors"]:
        print(json.dumps(vectors(), indent=1))
        return 0
    if len(arguments) != 3 or arguments[0] not in ("encrypt", "decrypt"):
        print(__doc__, file=sys.stderr)
        return 2
    key, aad = parse_key(arguments[1]), arguments[2].encode()
    data = sys.stdin.buffer.read()
    if arguments[0] == "encrypt":
        print(base64.b64encode(encrypt(key, aad, data, os.urandom(12))).decode())
        return 0
    try:
        plaintext = decrypt(key, aad, base64.b64decode(data.strip(), validate=True))
    except (InvalidTag, ValueError, binascii.Error) as error:
        print("envelope.py: could not decrypt: %s" % type(error).__name__, file=sys.stderr)
        return 1
    sys.stdout.buffer.write(plaintext)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
