"""Numbers as Grafana writes them, in the units that the dashboards use."""

import math

_DURATIONS = ((1e-6, "ns", 1e-9), (1e-3, "µs", 1e-6), (1, "ms", 1e-3), (60, "s", 1), (3600, "min", 60), (86400, "hour", 3600),
              (math.inf, "day", 86400))


def decimals_of(value):
    """Three digits, four where the number begins with 1 or 2 just above; none of whole numbers."""
    if value == 0 or value % 1 == 0:
        return 0
    magnitude = math.floor(math.log10(abs(value)))
    places = 1 - magnitude
    if abs(value) * 10 ** places > 2.25:
        places += 1
    return max(0, places)


def number(value, decimals=None):
    return f"{value:.{decimals_of(value) if decimals is None else decimals}f}"


def _scaled(value, decimals, base, names, suffix=""):
    step = 0
    while abs(value) >= base and step < len(names) - 1:
        value /= base
        step += 1
    unit = names[step] + suffix
    return number(value, decimals) + (f" {unit}" if unit else "")


def _seconds(value, decimals):
    for below, unit, size in _DURATIONS:
        if abs(value) < below:
            break
    if value == 0:
        unit, size = "s", 1
    return f"{number(round(value / size, 9), decimals)} {unit}"


def _from_now(milliseconds, now):
    minutes = round((now - milliseconds / 1000) / 60)
    if minutes < 1:
        return "a few seconds ago"
    return f"{minutes} minutes ago" if minutes > 1 else "a minute ago"


def text(value, unit, decimals=None, now=0):
    """`value` in Grafana's unit `unit`. `now` is for units that are relative to it."""
    if value is None or math.isnan(value):
        return ""
    if unit == "percentunit":
        return number(round(value * 100, 9), decimals) + "%"
    if unit == "s":
        return _seconds(value, decimals)
    if unit == "ms":
        return "0 ms" if value == 0 else _seconds(value / 1000, decimals)
    if unit == "bytes":
        return _scaled(value, decimals, 1024, ("B", "KiB", "MiB", "GiB", "TiB"))
    if unit == "Bps":
        return _scaled(value, decimals, 1000, ("B/s", "kB/s", "MB/s", "GB/s"))
    if unit in ("reqps", "cps"):
        return _scaled(value, decimals, 1000, ("", "K", "M"), {"reqps": " req/s", "cps": " c/s"}[unit]).replace("  ", " ")
    if unit == "short":
        return _scaled(value, decimals, 1000, ("", "K", "Mil", "Bil"))
    if unit == "locale":
        return f"{value:,.{0 if decimals is None and value % 1 == 0 else 2 if decimals is None else decimals}f}"
    if unit == "dateTimeFromNow":
        return _from_now(value, now)
    assert unit in ("none", "string"), unit
    return number(value, decimals)


def ticks(low, high, count, unit):
    """Round numbers in [low, high], about `count` of them, round in the unit that is shown."""
    if high <= low:
        return [low]
    rough = (high - low) / max(count, 1)
    base = 1.0
    if unit == "bytes":
        base = 1024.0 ** math.floor(math.log(rough, 1024)) if rough >= 1 else 1.0
    elif unit in ("s", "ms"):
        in_seconds = rough / 1000 if unit == "ms" else rough
        size = 60 if in_seconds >= 30 else 1
        base = size * (1000 if unit == "ms" else 1)
    power = 10.0 ** math.floor(math.log10(rough / base))
    step = next(base * power * nice for nice in (1, 2, 2.5, 5, 10) if base * power * nice >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]
