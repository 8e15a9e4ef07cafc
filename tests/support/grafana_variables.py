"""Fills in a dashboard's variables as Grafana does it, for each of the data sources that the dashboards use.

What Grafana does depends on who asks: a Prometheus or Loki query escapes values for regular expressions where the variable
can have several, and not where it has one; Tempo gets them separated by `|`; a `${name:format}` says so itself. A custom
`allValue` is put in as it stands."""

import re
import urllib.parse

# $name, [[name]], [[name:format]], ${name}, ${name.path}, ${name:format}
_REFERENCE = re.compile(r"\$(\w+)|\[\[(\w+?)(?::(\w+))?\]\]|\$\{(\w+)(?:\.([^:^}]+))?(?::([^}]+))?\}")
ALL = "$__all"


class Variable:
    """One of a dashboard, with what is chosen: a string, a list of strings where it can have several, or ALL."""

    def __init__(self, model, options=(), chosen=None):
        self.name = model["name"]
        self.kind = model["type"]
        self.query = model.get("query", "")
        self.several = bool(model.get("multi") or model.get("includeAll"))
        self.all_value = model.get("allValue")
        self.options = list(options)
        if chosen is None:
            chosen = [ALL] if model.get("includeAll") else (self.options[0] if self.options else "")
        self.chosen = chosen

    @property
    def is_all(self):
        return self.chosen == ALL or self.chosen == [ALL]

    @property
    def value(self):
        return self.options if self.is_all else self.chosen


def _each(value, escape):
    return escape(value) if isinstance(value, str) else [escape(v) for v in value]


def _regex(value):
    """The format `regex`: RE2 metacharacters escaped once; several as one group."""
    def escape(text):
        return re.sub(r"[\\^$*+?.()|[\]{}/]", r"\\\g<0>", text)

    value = _each(value, escape)
    if isinstance(value, str):
        return value
    return value[0] if len(value) == 1 else "(" + "|".join(value) + ")"


def _glob(value):
    return value if isinstance(value, str) else value[0] if len(value) == 1 else "{" + ",".join(value) + "}"


def _percent(text):
    return urllib.parse.quote(text, safe="-_.~")


def _many(separator):
    return lambda value: value if isinstance(value, str) else separator.join(value)


def _quoted(quote):
    def quoted(value):
        values = [value] if isinstance(value, str) else value
        return ",".join(quote + v.replace(quote, "\\" + quote) + quote for v in values)
    return quoted


FORMATS = {
    "regex": _regex,
    "pipe": _many("|"),
    "csv": _many(","),
    "raw": _many(","),
    "text": _many(" + "),
    "glob": _glob,
    "percentencode": lambda value: _percent(_glob(value)),
    "doublequote": _quoted('"'),
    "singlequote": _quoted("'"),
}


def _escape_in_string(text):
    """Regular expression metacharacters, escaped for the expression and once more for the string that holds it."""
    return re.sub(r"[$^*{}\[\]+?.()|]", r"\\\\\g<0>", text.replace("\\", "\\\\\\\\"))


def prometheus(value, variable):
    if not variable.several:
        return value.replace("\\", "\\\\").replace("'", "\\\\'")
    value = _each(value, _escape_in_string)
    if isinstance(value, str):
        return value
    return value[0] if len(value) == 1 else "(" + "|".join(value) + ")"


def loki(value, variable):
    if not variable.several:
        return value.replace("'", "\\\\'")
    return _many("|")(_each(value, lambda text: _escape_in_string(text).replace("'", "\\\\'")))


def tempo(value, _):
    return _many("|")(value)


def link(value, _):
    """In the URL of a link."""
    return urllib.parse.quote(_glob(value), safe="-_.~!*'();:@&=+$,/?#")


SOURCES = {"prometheus": prometheus, "loki": loki, "tempo": tempo, "link": link}


def fill(text, source, variables, built_in):
    """`text` with all references to `variables` (by name) and `built_in` ({name: string}) filled in. Others stay: `$1`
    of label_replace looks like one and is none."""

    def replace(match):
        name = match[1] or match[2] or match[4]
        form = match[3] or match[6]
        if name in built_in:
            return str(built_in[name])
        variable = variables.get(name)
        if variable is None:
            return match[0]
        if form == "queryparam":
            chosen = [variable.chosen] if isinstance(variable.chosen, str) else variable.chosen
            return "&".join(f"var-{name}={_percent(value)}" for value in chosen)
        if variable.is_all and variable.all_value and form not in ("text", "percentencode"):
            return variable.all_value
        if form:
            return FORMATS[form](variable.value)
        return SOURCES[source](variable.value, variable)

    return _REFERENCE.sub(replace, text)


def references(text):
    """The names of what looks like a variable in `text`."""
    return {m[1] or m[2] or m[4] for m in _REFERENCE.finditer(text)}
