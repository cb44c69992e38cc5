"""The hello: version, cluster and secret are settled before any other frame is read.

What: the initiator sends HELLO, the acceptor answers WELCOME with its proof, the initiator ends with PROOF. Two small
machines, one for each end; a message in, the messages to send out, or an error of the tree.

Invariant: a side is `done` only when the other one has shown that it knows the same secret (or when neither end has
one), the two have a protocol version in common, and they do not belong to two different clusters. The initiator shows
its proof only after it has checked the acceptor's.

Why: the proof is a BLAKE2b-256 keyed with the secret over everything that both ends have said, so it cannot be replayed
(both nonces are in it), reflected (the side is in it), moved to another connection (identities are in it) or used to
talk the two ends down to an older version (the offered range is in it). Fields are encoded with msgpack before they are
hashed, so that no two transcripts share their bytes. Proofs are compared in constant time. This is a challenge and
response in the manner of RFC 2195 and of ISO/IEC 9798-4; it authenticates the start of a connection on a network that
nobody rewrites. Encryption is TLS's task, beneath it.

Nonces are arguments: whoever runs a connection draws 32 unpredictable bytes for it.
"""

import hashlib
import hmac
from typing import Any, Final

import attrs

from dynacache.errors import (
    AuthenticationFailed,
    ClusterMismatch,
    DynacacheError,
    ProtocolError,
    VersionMismatch,
    error_from_code,
)
from dynacache.types import NodeId, Role
from dynacache.wire.codec import Message, pack_message
from dynacache.wire.messages import ERROR, HELLO, PROOF, PROTOCOL_VERSION_MAX, PROTOCOL_VERSION_MIN, WELCOME

__all__ = [
    "CLUSTER_ID_LIMIT_BYTES",
    "HELLO_LIMIT_BYTES",
    "MAGIC",
    "NODE_ID_LIMIT_CHARACTERS",
    "NONCE_BYTES",
    "PROOF_BYTES",
    "Acceptor",
    "Initiator",
    "refusal_of",
]

MAGIC: Final = "dynacache"
NONCE_BYTES: Final = 32
PROOF_BYTES: Final = 32
NODE_ID_LIMIT_CHARACTERS: Final = 64
CLUSTER_ID_LIMIT_BYTES: Final = 32
HELLO_LIMIT_BYTES: Final = 4096
"""The largest frame that either side may send before the hello is done."""
_ERROR_TEXT_LIMIT_CHARACTERS: Final = 500
_ROLES: Final = frozenset(int(role) for role in Role)


def refusal_of(error: DynacacheError) -> Message:
    """The message that tells the other end why its connection is closed."""
    return [ERROR, 0, error.code, str(error)[:_ERROR_TEXT_LIMIT_CHARACTERS]]


@attrs.frozen
class _Transcript:
    """Everything both ends have said, as it goes into the proofs."""

    version: int
    version_min: int
    version_max: int
    role: int
    initiator_cluster_id: bytes
    initiator_node_id: str
    initiator_nonce: bytes
    acceptor_cluster_id: bytes
    acceptor_node_id: str
    acceptor_nonce: bytes

    def proof(self, secret: str | None, side: str) -> bytes:
        if not secret:
            return b""
        key = hashlib.blake2b(secret.encode("utf-8", "surrogateescape"), digest_size=PROOF_BYTES).digest()
        said = pack_message((MAGIC, side, *attrs.astuple(self)))
        return hashlib.blake2b(said, key=key, digest_size=PROOF_BYTES).digest()


def _check_proof(given: bytes, expected: bytes) -> None:
    if expected and not given:
        raise AuthenticationFailed("this end demands the cluster secret, the other end has none")
    if given and not expected:
        raise AuthenticationFailed("the other end demands the cluster secret, this end has none")
    if not hmac.compare_digest(given, expected):
        raise AuthenticationFailed("the two ends have different cluster secrets")


def _check_clusters(own: bytes, other: bytes) -> None:
    if own and other and own != other:
        raise ClusterMismatch(f"this end belongs to cluster {own.hex()}, the other end to cluster {other.hex()}")


def _take(message: Message, kind: int, name: str, types: tuple[type, ...]) -> list[Any]:
    """Return the fields of the message that must come now; trailing fields of a later version are ignored."""
    if message[0] != kind:
        raise ProtocolError(f"expected {name} ({kind}), got a message of kind {message[0]}")
    fields = list(message[1 : len(types) + 1])
    if len(fields) < len(types) or any(type(field) is not wanted for field, wanted in zip(fields, types, strict=True)):
        raise ProtocolError(f"a malformed {name}: expected {', '.join(wanted.__name__ for wanted in types)}")
    return fields


def _check_identity(cluster_id: bytes, node_id: NodeId, nonce: bytes) -> None:
    if len(cluster_id) > CLUSTER_ID_LIMIT_BYTES:
        raise ProtocolError(f"a cluster id of {len(cluster_id)} bytes, at most {CLUSTER_ID_LIMIT_BYTES}")
    if len(node_id) > NODE_ID_LIMIT_CHARACTERS or not node_id.isprintable():
        raise ProtocolError(f"a node id is at most {NODE_ID_LIMIT_CHARACTERS} printable characters")
    if len(nonce) != NONCE_BYTES:
        raise ProtocolError(f"a nonce of {len(nonce)} bytes, expected {NONCE_BYTES}")


@attrs.define(eq=False)
class Initiator:
    """The end that opened the connection. Send `first()`, then pass on what `receive` returns until `done`."""

    role: Role
    cluster_id: bytes
    node_id: NodeId
    secret: str | None = attrs.field(repr=False)
    nonce: bytes
    version_min: int = PROTOCOL_VERSION_MIN
    version_max: int = PROTOCOL_VERSION_MAX
    done: bool = attrs.field(default=False, init=False)
    version: int = attrs.field(default=0, init=False)
    peer_node_id: NodeId = attrs.field(default="", init=False)
    peer_cluster_id: bytes = attrs.field(default=b"", init=False)

    def first(self) -> Message:
        """The HELLO that opens the exchange."""
        offer = (self.version_min, self.version_max, int(self.role))
        return [HELLO, MAGIC, *offer, self.cluster_id, self.node_id, self.nonce]

    def receive(self, message: Message) -> list[Message]:
        """Take the acceptor's answer; return what to send.

        Raises the error that the other end sent, or AuthenticationFailed, ClusterMismatch, VersionMismatch,
        ProtocolError.
        """
        assert not self.done
        if message[0] == ERROR:
            raise self._told(message)
        version, cluster_id, node_id, nonce, proof = _take(message, WELCOME, "WELCOME", (int, bytes, str, bytes, bytes))
        _check_identity(cluster_id, node_id, nonce)
        if not self.version_min <= version <= self.version_max:
            raise VersionMismatch(
                f"the other end chose protocol version {version}, offered was {self.version_min} to {self.version_max}"
            )
        if nonce == self.nonce:
            raise ProtocolError("the other end answered with our own nonce")
        _check_clusters(self.cluster_id, cluster_id)
        offer = (version, self.version_min, self.version_max, int(self.role))
        said = _Transcript(*offer, self.cluster_id, self.node_id, self.nonce, cluster_id, node_id, nonce)
        _check_proof(proof, said.proof(self.secret, "acceptor"))
        self.done, self.version, self.peer_node_id, self.peer_cluster_id = True, version, node_id, cluster_id
        return [[PROOF, said.proof(self.secret, "initiator")]]

    def _told(self, message: Message) -> DynacacheError:
        _, code, text = _take(message, ERROR, "ERROR", (int, int, str))
        return error_from_code(code, text[:_ERROR_TEXT_LIMIT_CHARACTERS])


@attrs.define(eq=False)
class Acceptor:
    """The end that was called. After an error, send `refusal_of(error)` and close."""

    cluster_id: bytes
    node_id: NodeId
    secret: str | None = attrs.field(repr=False)
    nonce: bytes
    version_min: int = PROTOCOL_VERSION_MIN
    version_max: int = PROTOCOL_VERSION_MAX
    done: bool = attrs.field(default=False, init=False)
    version: int = attrs.field(default=0, init=False)
    role: Role = attrs.field(default=Role.CLIENT, init=False)
    peer_node_id: NodeId = attrs.field(default="", init=False)
    peer_cluster_id: bytes = attrs.field(default=b"", init=False)
    _said: _Transcript | None = attrs.field(default=None, init=False)

    def receive(self, message: Message) -> list[Message]:
        """Take HELLO, then PROOF; return what to send.

        Raises AuthenticationFailed, ClusterMismatch, VersionMismatch, ProtocolError.
        """
        assert not self.done
        if self._said is None:
            return [self._welcome(message)]
        (proof,) = _take(message, PROOF, "PROOF", (bytes,))
        _check_proof(proof, self._said.proof(self.secret, "initiator"))
        self.done = True
        return []

    def _welcome(self, message: Message) -> Message:
        if message[0] == HELLO and message[1:2] != [MAGIC] and message[1:2] != (MAGIC,):
            raise ProtocolError(f"a HELLO of another protocol, expected {MAGIC!r}")
        types = (str, int, int, int, bytes, str, bytes)
        _, low, high, role, cluster_id, node_id, nonce = _take(message, HELLO, "HELLO", types)
        _check_identity(cluster_id, node_id, nonce)
        if role not in _ROLES:
            raise ProtocolError(f"an unknown role {role}, expected one of {sorted(_ROLES)}")
        if (role == Role.CLIENT) is not (node_id == ""):
            raise ProtocolError("a peer names itself in the hello, a client does not")
        version = min(high, self.version_max)
        if version < max(low, self.version_min):
            raise VersionMismatch(
                f"this end speaks protocol versions {self.version_min} to {self.version_max}, "
                f"the other end {low} to {high}"
            )
        if nonce == self.nonce:
            raise ProtocolError("the other end opened with our own nonce")
        _check_clusters(self.cluster_id, cluster_id)
        offer = (version, low, high, role)
        said = _Transcript(*offer, cluster_id, node_id, nonce, self.cluster_id, self.node_id, self.nonce)
        self._said = said
        self.role, self.version, self.peer_node_id, self.peer_cluster_id = Role(role), version, node_id, cluster_id
        return [WELCOME, version, self.cluster_id, self.node_id, self.nonce, said.proof(self.secret, "acceptor")]
