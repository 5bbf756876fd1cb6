"""Bar charts as SVG: medians, with a line from the lowest to the highest sample."""

from html import escape

WIDTH, LEFT, RIGHT, ROW, TOP = 900, 330, 110, 26, 56


def bars(title, unit, rows, aims=None, note=""):
    """rows: [(label, Samples)]; aims: {label: value}, drawn as a mark. Returns the text of an SVG file."""
    aims = aims or {}
    highest = max([max(samples) for _, samples in rows] + list(aims.values())) or 1
    scale = (WIDTH - LEFT - RIGHT) / highest
    height = TOP + ROW * len(rows) + 30
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="13">',
           f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
           f'<text x="10" y="24" font-size="16">{escape(title)} ({escape(unit)})</text>',
           f'<text x="10" y="42" fill="#666" font-size="11">{escape(note)}</text>']
    for number, (label, samples) in enumerate(rows):
        y, width = TOP + ROW * number, samples.median * scale
        middle = y + ROW / 2 - 3
        out += [f'<text x="{LEFT - 8}" y="{y + 15}" text-anchor="end">{escape(label)}</text>',
                f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{ROW - 6}" fill="#4a7fb5"/>',
                f'<path d="M{LEFT + min(samples) * scale:.1f} {middle}H{LEFT + max(samples) * scale:.1f}" stroke="black"/>',
                f'<text x="{LEFT + max(max(samples) * scale, width) + 6:.1f}" y="{y + 15}">{samples.median:.3g}</text>']
        if label in aims:
            x = LEFT + aims[label] * scale
            out.append(f'<path d="M{x:.1f} {y - 2}V{y + ROW - 4}" stroke="#c33" stroke-width="3"/>')
    return "\n".join([*out, "</svg>", ""])
