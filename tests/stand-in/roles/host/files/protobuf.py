# Reads the few request bodies that newer kubectl sends in Kubernetes' protobuf encoding.
"""The envelope is `k8s\\0` and a message Unknown (type, raw bytes); fields of kinds not listed here are refused."""
import base64

from objects import Invalid

MAGIC = b"k8s\x00"


# A shape maps field numbers to (name, how to read the field); fields that are not named here are left out.
TEXT, BYTES, BOOL, TEXT_MAP, BYTES_MAP = "text", "bytes", "bool", "text map", "bytes map"
META = {1: ("name", TEXT), 2: ("generateName", TEXT), 3: ("namespace", TEXT), 5: ("uid", TEXT), 6: ("resourceVersion", TEXT),
        11: ("labels", TEXT_MAP), 12: ("annotations", TEXT_MAP)}
SHAPES = {
    "ConfigMap": {1: ("metadata", META), 2: ("data", TEXT_MAP), 3: ("binaryData", BYTES_MAP), 4: ("immutable", BOOL)},
    "Secret": {1: ("metadata", META), 2: ("data", BYTES_MAP), 3: ("type", TEXT), 4: ("stringData", TEXT_MAP)},
    "Namespace": {1: ("metadata", META)},
    "ServiceAccount": {1: ("metadata", META)},
    "Eviction": {1: ("metadata", META)},
    "DeleteOptions": {2: ("preconditions", {1: ("uid", TEXT), 2: ("resourceVersion", TEXT)}), 5: ("dryRun", TEXT)},
}


def _number(data, at):
    """A varint: (value, where it ends)."""
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise Invalid("the protobuf body is cut short")
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not data[at - 1] & 0x80:
            return value, at


def _fields(data):
    """(field number, int or bytes) for each field of a message."""
    at = 0
    while at < len(data):
        tag, at = _number(data, at)
        if tag & 7 == 0:
            value, at = _number(data, at)
        else:
            size, at = _number(data, at) if tag & 7 == 2 else ({1: 8, 5: 4}.get(tag & 7, -1), at)
            if size < 0 or at + size > len(data):
                raise Invalid("the protobuf body is cut short")
            value, at = data[at:at + size], at + size
        yield tag >> 3, value


def _value(data, how):
    if how == BOOL:
        return bool(data)
    if not isinstance(data, bytes):
        raise Invalid("the protobuf body has a number where something else belongs")
    if isinstance(how, dict):
        return _message(data, how)
    if how == BYTES:
        return base64.b64encode(data).decode()
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Invalid("the protobuf body has a text that is not UTF-8") from error


def _message(data, shape):
    """A message as the dict that its JSON would be; empty texts are left out, as they are there."""
    result = {}
    for number, data_ in _fields(data):
        name, how = shape.get(number, (None, None))
        if how in (TEXT_MAP, BYTES_MAP):
            pair = dict(_fields(data_))
            result.setdefault(name, {})[_value(pair.get(1, b""), TEXT)] = _value(pair.get(2, b""), TEXT if how == TEXT_MAP else BYTES)
        elif name == "dryRun":
            result.setdefault(name, []).append(_value(data_, how))
        elif name and data_ != b"":
            result[name] = _value(data_, how)
    return result


def decode(body):
    """The object in a body."""
    if not body.startswith(MAGIC):
        raise Invalid("the protobuf body does not begin as Kubernetes' do")
    envelope = dict(_fields(body[len(MAGIC):]))
    kind = _message(envelope.get(1, b""), {1: ("apiVersion", TEXT), 2: ("kind", TEXT)})
    if kind.get("kind") not in SHAPES:
        raise Invalid(f"a {kind.get('kind')} is only understood as JSON")
    return {**kind, **_message(envelope.get(2, b""), SHAPES[kind["kind"]])}
