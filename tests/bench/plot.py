# SPDX-License-Identifier: MIT
"""The results of bench.py as a picture: for each workload a bar a system, with the spread of its rounds as a thin line."""
from xml.sax.saxutils import escape

WIDTH, LABEL, VALUE, BAR, GAP = 1000, 190, 230, 15, 4
# Colours that can be told apart without seeing colour: by lightness.
VAULTFS, PEER, CEILING = '#0b4f8a', '#c98a2b', '#b9bec4'


def colour(system, peers):
    return VAULTFS if system.startswith('vaultfs') or system.endswith('records') else PEER if system in peers else CEILING


def number(value):
    return f'{value:,.0f}' if value >= 100 else f'{value:.3g}'


def panel(name, row, peers, top):
    """Lines of one workload, and where it ends."""
    # The folder itself is so much faster that the others could not be told apart beside it.
    shown = {name: s for name, s in row['systems'].items() if name != 'no FUSE'}
    most = max(max(s['values']) for s in shown.values()) or 1
    scale = (WIDTH - LABEL - VALUE) / most
    out = [f'<text x="0" y="{top + 14}" font-weight="bold">{escape(name)}</text>'
           f'<text x="{WIDTH}" y="{top + 14}" text-anchor="end" fill="#555">{escape(row["unit"])}, {row["better"]} is better</text>']
    y = top + 24
    for system, s in shown.items():
        width, middle = s['median'] * scale, y + BAR / 2
        note = number(s['median'])
        times = s.get('times_best_peer')
        if times:
            note += f' = {times["median"]:.2f} × the best peer'
        out.append(f'<text x="{LABEL - 8}" y="{y + 12}" text-anchor="end">{escape(system)}</text>'
                   f'<rect x="{LABEL}" y="{y}" width="{max(width, 1):.1f}" height="{BAR}" fill="{colour(system, peers)}"/>'
                   f'<line x1="{LABEL + min(s["values"]) * scale:.1f}" x2="{LABEL + max(s["values"]) * scale:.1f}" y1="{middle}" y2="{middle}" stroke="#000"/>'
                   f'<text x="{LABEL + max(s["values"]) * scale + 8:.1f}" y="{y + 12}">{escape(note)}</text>')
        y += BAR + GAP
    return out, y + 14


def svg(results, peers):
    out, y = [], 40
    facts = results['facts']
    head = ', '.join(f'{k} {v if not isinstance(v, list) else " ".join(v)}' for k, v in facts.items() if k in ('files', 'megabytes', 'processors', 'kernel', 'rounds'))
    for name, row in results['workloads'].items():
        lines, y = panel(name, row, peers, y)
        out += lines
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" font-family="sans-serif" font-size="13">\n'
            f'<rect width="{WIDTH}" height="{y}" fill="#fff"/>\n<text x="0" y="18" font-size="16">vaultfs and others: {escape(head)}</text>\n' + '\n'.join(out) + '\n</svg>\n')
