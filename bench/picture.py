"""The results as a picture: how many times better than Debian's registry pyreg is."""

from __future__ import annotations

import math
from html import escape

from bench.contest import DEBIAN, PYREG, Contest, Result

ROW, TOP, LEFT, WIDTH, RIGHT = 30, 64, 320, 440, 270
LEAST, MOST = 0.25, 64.0
"""Where the scale, which is logarithmic, begins and ends."""

_INK, _PALE, _GOOD, _BAD, _PLAIN = "#24292f", "#d0d7de", "#2da44e", "#cf222e", "#6e7781"


def _place(ratio: float) -> float:
    bounded = min(max(ratio, LEAST), MOST)
    return LEFT + WIDTH * math.log(bounded / LEAST) / math.log(MOST / LEAST)


def _text(x: float, y: float, text: str, **style: str) -> str:
    more = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in style.items())
    return f'<text x="{x:.0f}" y="{y:.0f}"{more}>{escape(text)}</text>'


def _bar(y: int, result: Result) -> list[str]:
    """The line of one figure: its name, a bar from 1x on, a mark at the target, its values."""
    ratio, figure = result.ratio, result.figure
    assert ratio is not None
    start, end = sorted((_place(1.0), _place(ratio)))
    color = {None: _PLAIN, True: _GOOD, False: _BAD}[result.reached]
    parts = [
        _text(LEFT - 12, y + 15, figure.title, text_anchor="end"),
        f'<rect x="{start:.1f}" y="{y + 3}" width="{max(end - start, 1):.1f}" height="16" '
        f'fill="{color}"/>',
        _text(LEFT + WIDTH + 64, y + 15, f"{ratio:.1f}x", text_anchor="end", font_weight="bold"),
        _text(
            LEFT + WIDTH + 80,
            y + 15,
            f"{result.median(PYREG):,.0f} : {result.median(DEBIAN):,.0f} {figure.unit}",
        ),
    ]
    if figure.ratio is not None:
        x = _place(figure.ratio)
        parts.append(
            f'<path d="M{x:.1f} {y - 1}v24" stroke="{_INK}" stroke-width="2" '
            f'stroke-dasharray="3 2"/>'
        )
    return parts


def svg(contest: Contest, subtitle: str) -> str:
    """An SVG document."""
    results = [result for result in contest.results if result.ratio is not None]
    height = TOP + ROW * len(results) + 36
    width = LEFT + WIDTH + RIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="13" '
        f'fill="{_INK}">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        _text(16, 26, f"{PYREG} : {DEBIAN}", font_size="18", font_weight="bold"),
        _text(16, 46, subtitle, fill=_PLAIN),
    ]
    tick = LEAST
    while tick <= MOST:
        x, bottom = _place(tick), height - 32
        parts.append(f'<path d="M{x:.1f} {TOP - 6}V{bottom}" stroke="{_PALE}"/>')
        parts.append(_text(x, bottom + 16, f"{tick:g}x", text_anchor="middle", fill=_PLAIN))
        tick *= 2
    for number, result in enumerate(results):
        parts += _bar(TOP + ROW * number, result)
    parts.append(f'<path d="M{_place(1):.1f} {TOP - 6}V{height - 32}" stroke="{_INK}"/>')
    return "\n".join([*parts, "</svg>", ""])
