"""Published vectors, through the functions and primitives that the protocol uses.

The right sides are the standards' own; `cryptography` computes the left sides, so that a wrong digit fails.
"""

from __future__ import annotations

import hashlib
import hmac

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fl_tasks.secagg import agency, masking, wire
from fl_tasks.secagg.agency import public_key
from fl_tasks.secagg.errors import BadKey, BadSignature
from fl_tasks.secagg.masking import add_streams, agree, derive, keystream

P = 2**255 - 19


def _hex(*parts: str) -> bytes:
    return bytes.fromhex("".join(parts))


def test_rfc_7748_6_1():
    alice = _hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
    bob = _hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
    assert public_key(alice) == _hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
    assert public_key(bob) == _hex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
    shared = _hex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")
    for mine, theirs in ((alice, bob), (bob, alice)):
        assert agree(X25519PrivateKey.from_private_bytes(mine), public_key(theirs)) == shared


# The u-coordinates of order 1, 2, 4 and 8 on the curve and its twist.
LOW_ORDER = {
    0,
    1,
    P - 1,
    int.from_bytes(_hex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"), "little"),
    int.from_bytes(_hex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"), "little"),
}


def _encodings(u: int) -> list[bytes]:
    """Every string of 32 bytes that RFC 7748 reads as u: reduced or not, bit 255 set or not."""
    values = [value for value in (u, u + P) if value < 2**255]
    return [(value | top << 255).to_bytes(32, "little") for value in values for top in (0, 1)]


def _times_eight_is_zero(u: int) -> bool:
    """Three doublings on the Montgomery curve in projective coordinates; A = 486662."""
    x, z = u, 1
    for _ in range(3):
        plus, minus = (x + z) ** 2 % P, (x - z) ** 2 % P
        x, z = plus * minus % P, (plus - minus) * (plus + 121665 * (plus - minus)) % P
    return z == 0


@pytest.mark.parametrize("encoding", [e for u in sorted(LOW_ORDER) for e in _encodings(u)], ids=bytes.hex)
def test_every_encoding_of_a_point_of_low_order_is_refused(encoding):
    assert _times_eight_is_zero(int.from_bytes(encoding, "little") % 2**255 % P)
    for seed in range(4):
        with pytest.raises(BadKey):
            agree(X25519PrivateKey.from_private_bytes(bytes([seed]) * 32), encoding)


def test_of_all_non_canonical_encodings_those_of_low_order_are_refused_and_no_others():
    private = X25519PrivateKey.from_private_bytes(b"\x05" * 32)
    refused = set()
    for value in range(P, 2**255):
        for top in (0, 1):
            encoding = (value | top << 255).to_bytes(32, "little")
            try:
                agree(private, encoding)
            except BadKey:
                refused.add(encoding)
    assert refused == {e for u in (0, 1) for e in _encodings(u) if int.from_bytes(e, "little") % 2**255 >= P}
    assert len(refused) == 4


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_of_another_length_is_refused(size):
    with pytest.raises(BadKey):
        agree(X25519PrivateKey.from_private_bytes(b"\x05" * 32), bytes(size))


def test_rfc_5869_a_1():
    """`derive` has no salt and 32 bytes, so that A.1 goes through the same class with A.1's salt and length."""
    assert masking.HKDF is HKDF
    out = HKDF(algorithm=SHA256(), length=42, salt=bytes(range(13)), info=bytes(range(0xF0, 0xFA)))
    assert out.derive(b"\x0b" * 22) == _hex(
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf", "34007208d5b887185865"
    )


def test_derive_is_rfc_5869_a_3_cut_to_32_bytes():
    """A.3 has neither salt nor info: `derive` itself computes it."""
    assert derive(b"\x0b" * 22) == _hex("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d")


def test_derive_is_extract_and_expand_of_rfc_5869_over_the_joined_info():
    secret, info = b"\x0b" * 22, (b"flsa/1/label", b"more")
    extracted = hmac.digest(bytes(32), secret, "sha256")
    assert derive(secret, *info) == hmac.digest(extracted, b"".join(info) + b"\x01", "sha256")


def test_rfc_8439_2_3_2():
    """The AEAD's keystream starts at block 1, which is this vector's: zeros encrypt to the block itself."""
    assert agency.ChaCha20Poly1305 is ChaCha20Poly1305
    sealed = ChaCha20Poly1305(bytes(range(32))).encrypt(_hex("000000090000004a00000000"), bytes(64), None)
    assert sealed[:64] == _hex(
        "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e",
        "d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e",
    )


def test_rfc_8439_2_8_2():
    cipher = ChaCha20Poly1305(bytes(range(0x80, 0xA0)))
    nonce, aad = _hex("070000004041424344454647"), _hex("50515253c0c1c2c3c4c5c6c7")
    text = (
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
        b"sunscreen would be it."
    )
    sealed = _hex(
        "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6",
        "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36",
        "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc",
        "3ff4def08e4b7a9de576d26586cec64b6116",
        "1ae10b594f09e26a7e902ecbd0600691",
    )
    assert cipher.encrypt(nonce, text, aad) == sealed
    assert cipher.decrypt(nonce, sealed, aad) == text


@pytest.mark.parametrize(
    ("secret", "public", "message", "signature"),
    [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ],
    ids=["test-1", "test-2", "test-3"],
)
def test_rfc_8032_7_1(secret, public, message, signature):
    """`sign` puts a label before every message, so that the vectors go through the key object that it calls."""
    assert wire.Ed25519PrivateKey is Ed25519PrivateKey
    key = Ed25519PrivateKey.from_private_bytes(_hex(secret))
    assert key.public_key().public_bytes_raw() == _hex(public)
    assert key.sign(_hex(message)) == _hex(signature)
    labelled = wire.sign(key, "x", _hex(message))
    assert labelled == key.sign(b"flsa/1/x" + _hex(message))
    wire.verify(_hex(public), labelled, "x", _hex(message))
    with pytest.raises(BadSignature):
        wire.verify(_hex(public), _hex(signature), "x", _hex(message))


F_5_5_KEY = _hex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")


def test_nist_sp_800_38a_f_5_5():
    """The protocol's counter starts at zero, so that the vector goes through the same cipher and mode."""
    assert (masking.algorithms.AES, masking.modes.CTR) == (algorithms.AES, modes.CTR)
    plain = _hex(
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51",
        "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
    )
    cipher = Cipher(algorithms.AES(F_5_5_KEY), modes.CTR(bytes(range(0xF0, 0x100))))
    assert cipher.encryptor().update(plain) == _hex(
        "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5",
        "2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6",
    )


def test_keystream_and_streams_are_aes_256_of_the_counter_from_zero_read_little_endian():
    blocks = 300  # past the first byte of the counter
    block_cipher = Cipher(algorithms.AES(F_5_5_KEY), modes.ECB()).encryptor()
    raw = b"".join(block_cipher.update(counter.to_bytes(16, "big")) for counter in range(blocks))
    words = np.frombuffer(raw, dtype="<u4")
    assert np.array_equal(keystream(F_5_5_KEY, words.size), words)
    assert np.array_equal(keystream(F_5_5_KEY, 5), words[:5])
    for start in (1, 3, 4, 5, 1023):
        assert np.array_equal(keystream(F_5_5_KEY, 50, start), words[start : start + 50])
    for keys, expected in ((([F_5_5_KEY], []), words), (([], [F_5_5_KEY]), np.uint32(0) - words)):
        vector = np.zeros(words.size, dtype=np.uint32)
        add_streams(vector, *keys)
        assert np.array_equal(vector, expected)


def test_labelled_hashes_are_sha_256_of_label_and_parts():
    """SHA-256 itself by FIPS 180-2, B.1."""
    assert hashlib.sha256(b"abc").hexdigest() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert wire.digest("x", b"a", b"b") == hashlib.sha256(b"flsa/1/xab").digest()
