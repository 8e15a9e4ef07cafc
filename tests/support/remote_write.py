"""Prometheus remote write 1.0 requests, written by hand: field numbers of prompb/{remote,types}.proto, and snappy
blocks of nothing but literals."""

import struct
import urllib.error
import urllib.request


def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def zigzag(value):
    return varint(value << 1 ^ value >> 63)


def field(number, content):
    """A length-delimited field (bytes), a varint (int) or a double (float)."""
    if isinstance(content, float):
        return varint(number << 3 | 1) + struct.pack("<d", content)
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def series(labels, samples):
    """One TimeSeries. `labels` are sorted here; samples are (value, milliseconds)."""
    out = b"".join(field(1, field(1, name.encode()) + field(2, value.encode())) for name, value in sorted(labels.items()))
    return out + b"".join(field(2, field(1, float(value)) + field(2, time)) for value, time in samples)


def write_request(all_series):
    return snappy(b"".join(field(1, one) for one in all_series))


def snappy(data):
    out = varint(len(data))
    for at in range(0, len(data), 65536):
        piece = data[at:at + 65536]
        out += bytes([61 << 2]) + struct.pack("<H", len(piece) - 1) + piece
    return out


def post(url, body, **headers):
    """(status, body)"""
    request = urllib.request.Request(url, data=body, headers={
        "Content-Type": "application/x-protobuf", "Content-Encoding": "snappy", **headers})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(errors="replace")
