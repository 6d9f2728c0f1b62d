"""A second implementation, written from docs/secure-aggregation.md alone: the oracle of the first.

It imports nothing of the product. It reads every message, checks what is signed, and opens a round's sum from the
uploads and reveals. Plain and slow: one word at a time, one big integer at a time.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import struct
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

FIELD = 2**256 + 297
SLOTS = 5
LABELS = {
    1: "keys",
    2: "list",
    3: "shares",
    4: "ready",
    5: "close",
    6: "model",
    7: "upload",
    8: "manifest",
    9: "burnt",
    10: "ack",
    11: "reveal",
    12: "head",
}


def labelled(label: str, data: bytes) -> bytes:
    return hashlib.sha256(b"flsa/1/" + label.encode() + data).digest()


def kdf(secret: bytes, label: str, info: bytes) -> bytes:
    """HKDF-SHA256 by hand: extract without salt, one block of expand."""
    extracted = hmac.digest(bytes(32), secret, "sha256")
    return hmac.digest(extracted, b"flsa/1/" + label.encode() + info + b"\x01", "sha256")


def diffie_hellman(private: bytes, public: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))


def public_of(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def stream(key: bytes, words: int) -> list[int]:
    """Counter mode by hand, from the block cipher."""
    blocks = math.ceil(4 * words / 16)
    counters = b"".join(counter.to_bytes(16, "big") for counter in range(blocks))
    raw = Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(counters)
    return list(struct.unpack(f"<{words}I", raw[: 4 * words]))


def signed_by(public: bytes, signature: bytes, label: str, data: bytes) -> None:
    """Raises InvalidSignature."""
    Ed25519PublicKey.from_public_bytes(public).verify(signature, b"flsa/1/" + label.encode() + data)


def interpolate(shares: dict[int, bytes]) -> bytes:
    """The value at 0 of the polynomial through these points."""
    total = 0
    for x, share in shares.items():
        assert len(share) == 33
        assert int.from_bytes(share, "big") < FIELD
        factor = 1
        for other in shares:
            if other != x:
                factor = factor * other * pow(other - x, -1, FIELD) % FIELD
        total += int.from_bytes(share, "big") * factor
    assert total % FIELD < 2**256
    return (total % FIELD).to_bytes(32, "big")


def canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


def roster_hash(roster: dict) -> bytes:
    return labelled("roster", canonical(roster))


def model_hash(tensors: list[dict]) -> bytes:
    """Tensors as {name, dtype, shape, content}, content little-endian bytes as hex."""
    data = b""
    for tensor in sorted(tensors, key=lambda t: t["name"]):
        shape = ",".join(str(size) for size in tensor["shape"])
        head = f"{tensor['name']}\0{tensor['dtype']}\0{shape}\0".encode()
        data += struct.pack(">I", len(head)) + head + bytes.fromhex(tensor["content"])
    return labelled("tensors", data)


# ---- messages


def _items(data: bytes, layout: str) -> list[tuple]:
    items = list(struct.iter_unpack(layout, data))
    assert [item[0] for item in items] == sorted({item[0] for item in items})
    return items


def _header(data: bytes) -> dict:
    session, number, h2, model = struct.unpack(">16sI32s32s", data[:84])
    return {"header": data[:84], "session": session, "round": number, "h2": h2, "model": model}


def parse(data: bytes, *, rounds: int = 0) -> dict:
    """Any message as a dictionary of its fields; `rounds` is R, which S1 and S2 need."""
    assert data[:5] == b"FLSA\x01"
    kind = LABELS[data[5]]
    body, signature = data[6:-64], data[-64:]
    message: dict = {"kind": kind, "signature": signature, "signed": data[:-64]}
    if kind == "keys":
        assert len(data) == 152 + 64 * rounds
        session, sender, roster, encryption = struct.unpack(">16sH32s32s", body[:82])
        values = [body[82 + 32 * i : 114 + 32 * i] for i in range(2 * rounds)]
        message |= {"session": session, "id": sender, "roster": roster, "encryption_key": encryption}
        message |= {"round_keys": values[:rounds], "seed_hashes": values[rounds:]}
    elif kind == "list":
        message |= {"session": body[:16], "entries": dict(_items(body[16:], ">H32s"))}
    elif kind == "shares":
        assert len(data) == 150 + 66 * rounds
        session, h1, dealer, holder, nonce = struct.unpack(">16s32sHH12s", body[:64])
        message |= {"session": session, "h1": h1, "dealer": dealer, "holder": holder, "nonce": nonce}
        message |= {"sealed": body[64:]}
    elif kind == "ready":
        session, h1, sender = struct.unpack(">16s32sH", body[:50])
        message |= {"session": session, "h1": h1, "id": sender, "opened": dict(_items(body[50:], ">H32s"))}
    elif kind == "close":
        members = {i: (keys, ready) for i, keys, ready in _items(body[48:], ">H32s32s")}
        message |= {"session": body[:16], "h1": body[16:48], "members": members}
    elif kind == "model":
        session, number, model = struct.unpack(">16sI32s", body)
        message |= {"session": session, "round": number, "model": model}
    elif kind == "upload":
        payload = data[156:]
        message |= _header(data[6:90]) | {"id": int.from_bytes(data[90:92], "big"), "signature": data[92:156]}
        message |= {"payload": payload, "signed": data[6:92] + hashlib.sha256(payload).digest()}
    elif kind == "manifest":
        members = {i: (sha, signature) for i, sha, signature in _items(body[84:], ">H32s64s")}
        message |= _header(body) | {"members": members}
    elif kind == "burnt":
        assert len(body) == 84
        message |= _header(body)
    elif kind == "ack":
        sender, manifest = struct.unpack(">H32s", body)
        message |= {"id": sender, "manifest": manifest}
    elif kind == "head":
        session, sender, entries, last = struct.unpack(">16sHI32s", body)
        message |= {"session": session, "id": sender, "entries": entries, "last": last}
    elif kind == "reveal":
        sender, manifest = struct.unpack(">H32s", body[84:118])
        shares = [body[at : at + 33] for at in range(118, len(body), 33)]
        assert len(shares[-1]) == 33
        message |= _header(body) | {"id": sender, "manifest": manifest, "shares": shares}
    return message


def build(message: dict) -> bytes:
    """The bytes that a parsed message came from, out of its fields: nothing is lost or read twice."""
    kind = message["kind"]
    prefix = b"FLSA\x01" + bytes([{label: number for number, label in LABELS.items()}[kind]])
    u16 = ">H"
    if kind == "upload":
        sender = struct.pack(u16, message["id"])
        return prefix + message["header"] + sender + message["signature"] + message["payload"]
    fields = {
        "keys": lambda m: (
            struct.pack(">16sH32s32s", m["session"], m["id"], m["roster"], m["encryption_key"])
            + b"".join(m["round_keys"] + m["seed_hashes"])
        ),
        "list": lambda m: m["session"] + b"".join(struct.pack(">H32s", *entry) for entry in m["entries"].items()),
        "shares": lambda m: (
            struct.pack(">16s32sHH12s", m["session"], m["h1"], m["dealer"], m["holder"], m["nonce"]) + m["sealed"]
        ),
        "ready": lambda m: (
            struct.pack(">16s32sH", m["session"], m["h1"], m["id"])
            + b"".join(struct.pack(">H32s", *entry) for entry in m["opened"].items())
        ),
        "close": lambda m: (
            m["session"] + m["h1"] + b"".join(struct.pack(">H32s32s", i, *both) for i, both in m["members"].items())
        ),
        "model": lambda m: struct.pack(">16sI32s", m["session"], m["round"], m["model"]),
        "manifest": lambda m: (
            m["header"] + b"".join(struct.pack(">H32s64s", i, *both) for i, both in m["members"].items())
        ),
        "burnt": lambda m: m["header"],
        "head": lambda m: struct.pack(">16sHI32s", m["session"], m["id"], m["entries"], m["last"]),
        "ack": lambda m: struct.pack(">H32s", m["id"], m["manifest"]),
        "reveal": lambda m: m["header"] + struct.pack(u16, m["id"]) + m["manifest"] + b"".join(m["shares"]),
    }
    return prefix + fields[kind](message) + message["signature"]


# ---- a session


@dataclass
class Reading:
    """A whole session out of its messages: everything that anybody may check, checked."""

    roster: dict
    session: bytes
    messages: dict[str, bytes]
    parsed: dict[str, dict] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rounds = self.roster["r_max"]
        self.t = self.roster["secagg"]["t"]
        self.ids = {card["name"]: i for i, card in enumerate(self.roster["members"])}
        self.public = {self.ids[card["name"]]: bytes.fromhex(card["protocol_key"]) for card in self.roster["members"]}
        self.head = bytes.fromhex(self.roster["coordinator_key"])
        for name, data in self.messages.items():
            self.parsed[name] = message = parse(data, rounds=self.rounds)
            assert build(message) == data
            signed_by(self._signer(name, message), message["signature"], message["kind"], message["signed"])
            assert message.get("session", self.session) == self.session
        self._check_set_up()

    def _signer(self, name: str, message: dict) -> bytes:
        if message["kind"] in ("list", "close", "model", "manifest", "burnt"):
            return self.head
        sender = message["dealer"] if message["kind"] == "shares" else message["id"]
        parts = name.split("/")
        assert self.ids[parts[2] if parts[0] == "setup" else parts[-1]] == sender
        return self.public[sender]

    def _names(self, folder: str) -> dict[int, str]:
        found = {self.ids[name.split("/")[-1]]: name for name in self.messages if name.startswith(f"{folder}/")}
        return dict(sorted(found.items()))

    def _check_set_up(self) -> None:
        listed, close = self.parsed["setup/list"]["entries"], self.parsed["setup/close"]
        self.h1 = labelled("H1", self.messages["setup/list"])
        roster = roster_hash(self.roster)
        keys = self._names("setup/keys")
        for i, digest in listed.items():
            assert digest == labelled("file", self.messages[keys[i]])
            assert self.parsed[keys[i]]["roster"] == roster
        readies = self._names("setup/ready")
        self.members = list(close["members"])
        assert close["h1"] == self.h1
        assert len(self.members) >= self.t
        for i, (keys_digest, ready_digest) in close["members"].items():
            assert keys_digest == listed[i]
            assert ready_digest == labelled("file", self.messages[readies[i]])
            ready = self.parsed[readies[i]]
            assert ready["h1"] == self.h1
            assert {*ready["opened"], i} >= set(self.members)
            for dealer, digest in ready["opened"].items():
                name = next(n for n, d in self._dealt(dealer, i))
                assert digest == labelled("file", self.messages[name])
        self.h2 = labelled("H2", roster + self.messages["setup/close"])
        self.keys = {i: self.parsed[keys[i]] for i in self.members}

    def _dealt(self, dealer: int, holder: int) -> list[tuple[str, dict]]:
        return [
            (name, message)
            for name, message in self.parsed.items()
            if message["kind"] == "shares" and (message["dealer"], message["holder"]) == (dealer, holder)
        ]

    def open_share_file(self, dealer: int, holder: int, private: bytes) -> list[tuple[bytes, bytes]]:
        """The shares of (b, k), one pair a round, with the holder's private encryption key."""
        [(_, message)] = self._dealt(dealer, holder)
        ends = self.h1 + struct.pack(">HH", dealer, holder)
        dealer_key = self.parsed[self._names("setup/keys")[dealer]]["encryption_key"]
        key = kdf(diffie_hellman(private, dealer_key), "shares", self.session + ends)
        plain = ChaCha20Poly1305(key).decrypt(message["nonce"], message["sealed"], ends)
        return [(plain[at : at + 33], plain[at + 33 : at + 66]) for at in range(0, len(plain), 66)]

    def pair_key(self, private: bytes, peer: int, owner: int, header: bytes, number: int) -> bytes:
        shared = diffie_hellman(private, self.keys[peer]["round_keys"][number - 1])
        return kdf(shared, "pair", header + struct.pack(">HH", min(owner, peer), max(owner, peer)))

    def sum_of(self, number: int) -> list[int]:
        """The plain sum of a round's updates, out of the payloads and t reveals."""
        raw = self.messages[f"r/{number}/manifest"]
        manifest = self.parsed[f"r/{number}/manifest"]
        header = manifest["header"]
        assert (manifest["h2"], manifest["round"]) == (self.h2, number)
        survivors = list(manifest["members"])
        assert set(survivors) <= set(self.members)
        uploads = self._names(f"r/{number}/up")
        payloads = []
        for i, (digest, signature) in manifest["members"].items():
            upload = self.parsed[uploads[i]]
            assert upload["header"] == header
            assert hashlib.sha256(upload["payload"]).digest() == digest
            signed_by(self.public[i], signature, "upload", header + struct.pack(">H", i) + digest)
            payloads.append(upload["payload"])
        words = len(payloads[0]) // 4
        total = [sum(column) for column in zip(*(struct.unpack(f"<{words}I", p) for p in payloads), strict=True)]
        wanted = labelled("H-manifest", raw)
        acks = [self.parsed[name] for name in self._names(f"r/{number}/ack").values()]
        assert sum(ack["manifest"] == wanted for ack in acks) >= self.t
        reveals = [self.parsed[name] for name in self._names(f"r/{number}/reveal").values()]
        reveals = [r for r in reveals if r["manifest"] == wanted and r["header"] == header][: self.t]
        assert len(reveals) == self.t
        for at, owner in enumerate(self.members):
            secret = interpolate({reveal["id"] + 1: reveal["shares"][at] for reveal in reveals})
            if owner in survivors:
                commitment = self.session + struct.pack(">HI", owner, number) + secret
                assert labelled("seed", commitment) == self.keys[owner]["seed_hashes"][number - 1]
                self._add(total, -1, kdf(secret, "self", header + struct.pack(">H", owner)))
                continue
            assert public_of(secret) == self.keys[owner]["round_keys"][number - 1]
            for survivor in survivors:
                # What the survivor put on for this pair comes off.
                side = -1 if survivor < owner else 1
                self._add(total, side, self.pair_key(secret, survivor, owner, header, number))
        return [value % 2**32 for value in total]

    @staticmethod
    def _add(total: list[int], side: int, key: bytes) -> None:
        for at, word in enumerate(stream(key, len(total))):
            total[at] += side * word


# ---- values


def encode(delta: list[float], examples: int, losses: list[float], n: int, config: dict, key: bytes) -> list[int]:
    """An update's words."""
    limit = (2**31 - 1) // n
    weight = examples / config["n_ref"]
    norm = math.sqrt(math.fsum(x * x for x in delta))
    clipped = norm > config["clip"]
    factor = weight * min(1.0, config["clip"] / norm * (1 - 1e-12)) if norm else weight
    draws = stream(key, len(delta) + len(losses))
    scale = limit / (config["w_max"] * config["clip"])
    loss_scale = limit / (config["w_max"] * config["max_loss"])
    scaled = [x * (factor * scale) for x in delta]
    scaled += [min(loss, config["max_loss"] * (1 - 1e-12)) * (weight * loss_scale) for loss in losses]
    words = [math.ceil((x * 2**32 - draw) / 2**32) for x, draw in zip(scaled, draws, strict=True)]
    assert all(abs(word) <= limit for word in words)
    return [word % 2**32 for word in [*words[: len(delta)], 1, examples, int(clipped), *words[len(delta) :]]]


def decode(total: list[int], n: int, config: dict) -> dict:
    """What a sum says."""
    signed = [word - 2**32 if word >= 2**31 else word for word in total]
    members, examples, clipped, loss, validation_loss = signed[-SLOTS:]
    limit = (2**31 - 1) // n
    weight = examples / config["n_ref"]
    scale = limit / (config["w_max"] * config["clip"])
    loss_scale = limit / (config["w_max"] * config["max_loss"])
    return {
        "members": members,
        "examples": examples,
        "clipped": clipped,
        "mean_delta": [word / (scale * weight) for word in signed[:-SLOTS]],
        "mean_loss": loss / (loss_scale * weight),
        "mean_validation_loss": validation_loss / (loss_scale * weight),
    }
