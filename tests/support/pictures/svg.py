"""Writes SVG: short numbers, text as text in whatever sans-serif font there is, a background of its own."""

from xml.sax.saxutils import escape

# Grafana's colours by name.
NAMED = {"green": "#56a64b", "semi-dark-green": "#37872d", "yellow": "#e0b400", "orange": "#ff780a", "red": "#e02f44",
         "blue": "#3274d9", "dark-orange": "#fa6400"}
# Of series, in their order.
SERIES = ("#56a64b", "#e0b400", "#3274d9", "#ff780a", "#e02f44", "#8ab8ff", "#a352cc", "#37872d", "#b877d9", "#705da0", "#1f60c4",
          "#c15c17", "#890f02", "#0a437c", "#6d1f62", "#584477")

_STYLE = ("text{{font-family:system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;font-size:{size}px;fill:#24292e}}"
          ".t{{font-weight:600}}.d{{fill:#6a737b}}.m{{text-anchor:middle}}.e{{text-anchor:end}}.b{{font-size:10px}}"
          ".p{{fill:#fff;stroke:#d8d9da}}.g{{stroke:#e4e5e6;fill:none}}.l{{fill:none;stroke-width:1.3;stroke-linejoin:round}}")
SIZE = 11

# Widths of characters of Helvetica by hundredths of the size; what is missing is as wide as a digit.
_NARROW = {**dict.fromkeys("iljI.,:;'|!/ ()[]ft", 30), **dict.fromkeys("rs-", 40), **dict.fromkeys("mwMW%", 88),
           **dict.fromkeys("ABCDEGHKNOPQRSUVXYZ_", 69)}


def color(name):
    return NAMED.get(name, name)


def short(value):
    """A coordinate: tenths, without what need not be written."""
    written = f"{value:.1f}".removesuffix(".0")
    return "0" if written == "-0" else written


def width_of(words, size=SIZE, bold=False):
    return sum(_NARROW.get(c, 57) for c in words) * size / 100 * (1.09 if bold else 1.03)


def clipped(words, width, size=SIZE, bold=False):
    """As much of `words` as fits."""
    if width_of(words, size, bold) <= width:
        return words
    while words and width_of(words + "…", size, bold) > width:
        words = words[:-1]
    return words.rstrip() + "…"


class Path:
    """A line through points, in relative steps that do not add up their rounding; points on the way are left out."""

    def __init__(self):
        self._points = []

    def to(self, x, y):
        self._points.append((round(x * 10), round(y * 10)))

    def __len__(self):
        return len(self._points)

    def _needed(self):
        """The points without which the line would be off by more than three tenths of a pixel (Douglas and Peucker)."""
        points = self._points
        kept, spans = {0, len(points) - 1}, [(0, len(points) - 1)]
        while spans:
            first, last = spans.pop()
            farthest, most = None, 3.0
            for i in range(first + 1, last):
                if (off := _distance(points[i], points[first], points[last])) > most:
                    farthest, most = i, off
            if farthest is not None:
                kept.add(farthest)
                spans += [(first, farthest), (farthest, last)]
        return [points[i] for i in sorted(kept)]

    def d(self, close=False):
        parts, (x, y) = [], (0, 0)
        for i, (to_x, to_y) in enumerate(self._needed()):
            dx, dy = to_x - x, to_y - y
            if i == 0:
                parts.append(f"M{short(to_x / 10)} {short(to_y / 10)}")
            elif dy == 0:
                parts.append(f"h{short(dx / 10)}")
            elif dx == 0:
                parts.append(f"v{short(dy / 10)}")
            else:
                second = short(dy / 10)
                parts.append(f"l{short(dx / 10)}{'' if second.startswith('-') else ' '}{second}")
            x, y = to_x, to_y
        return "".join(parts) + ("z" if close else "")


def _distance(p, a, b):
    """From p to the segment from a to b."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    square = dx * dx + dy * dy
    t = 0 if square == 0 else max(0, min(1, ((p[0] - a[0]) * dx + (p[1] - a[1]) * dy) / square))
    return ((p[0] - a[0] - t * dx) ** 2 + (p[1] - a[1] - t * dy) ** 2) ** 0.5


class Svg:
    def __init__(self, width, height, title, description):
        self.width, self.height = width, height
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">',
            f"<title>{escape(title)}</title><desc>{escape(description)}</desc><style>{_STYLE.format(size=SIZE)}</style>",
        ]
        self.rect(0, 0, width, height, fill="#f4f5f5")

    def add(self, element):
        self._parts.append(element)

    def rect(self, x, y, width, height, **more):
        self.add(f'<rect x="{short(x)}" y="{short(y)}" width="{short(width)}" height="{short(height)}"{_attributes(more)}/>')

    def line(self, x1, y1, x2, y2, **more):
        self.add(f'<path d="M{short(x1)} {short(y1)}L{short(x2)} {short(y2)}"{_attributes(more)}/>')

    def path(self, path, close=False, **more):
        if len(path):
            self.add(f'<path d="{path.d(close)}"{_attributes(more)}/>')

    def circle(self, x, y, r, **more):
        self.add(f'<circle cx="{short(x)}" cy="{short(y)}" r="{short(r)}"{_attributes(more)}/>')

    def text(self, x, y, words, kind="", **more):
        """`kind`: letters of the style: t title, d dim, m in the middle, e ends there, b small."""
        if words:
            style = f' class="{" ".join(kind)}"' if kind else ""
            self.add(f'<text x="{x:.0f}" y="{y:.0f}"{style}{_attributes(more)}>{escape(words)}</text>')

    def __str__(self):
        return "\n".join([*self._parts, "</svg>"]) + "\n"


def _attributes(more):
    return "".join(f' {name.rstrip("_").replace("_", "-")}="{short(value) if isinstance(value, float) else escape(str(value))}"'
                   for name, value in more.items() if value is not None)
