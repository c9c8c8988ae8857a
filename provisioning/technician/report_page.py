"""How a site report looks: one self-contained page, for a screen and for A4. Pure."""

from __future__ import annotations

import base64
import json
from html import escape

from provisioning.technician.picture import picture
from provisioning.technician.report import SiteReport, as_json
from provisioning.technician.site_test import SiteTest

_STYLE = """
:root{color-scheme:light}body{font:15px/1.45 system-ui,"DejaVu Sans",sans-serif;color:#1a2027;margin:0 auto;
max-width:46rem;padding:1.5rem;overflow-wrap:anywhere}
h1{font-size:1.5rem;margin:0}h2{font-size:1.05rem;margin:1.6rem 0 .4rem}
dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:.2rem 1rem;margin:.8rem 0}
dt{color:#56616d}dd{margin:0;white-space:pre-line}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;vertical-align:top;padding:.25rem .8rem .25rem 0;
border-bottom:1px solid #d5dae1}tr,.sign{break-inside:avoid}h2{break-after:avoid}
.no td:first-child{font-weight:700}.verdict{font-weight:700;border:2px solid;
padding:.3rem .7rem;display:inline-block;margin:.8rem 0}.ok{color:#146c3f}.bad{color:#ab1f19}
img{max-width:100%;max-height:16cm;display:block}
figure{margin:.6rem 0;break-inside:avoid}svg{height:auto;max-width:28rem}
.sign{display:grid;grid-template-columns:1fr 1fr;gap:2rem;margin-top:3rem}.sign div{border-top:1px solid;
padding-top:.3rem}@page{size:A4;margin:16mm}@media print{body{padding:0;max-width:none;font-size:9.5pt}
h2{margin-top:.8rem}.sign{margin-top:2rem}svg{max-width:22rem}}
"""


def render(report: SiteReport) -> str:
    """The page, ready to be signed. What people typed is escaped; nothing is loaded from outside."""
    data = json.dumps(as_json(report), sort_keys=True).replace("<", "\\u003c")
    verdict = (
        '<p class="verdict ok">Site test passed</p>'
        if report.passed
        else '<p class="verdict bad">Site test NOT passed</p>'
        if report.test
        else '<p class="verdict bad">Handed over without a site test</p>'
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">"
        f"<title>Site report {escape(report.device)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>Site report: {escape(report.device)}</h1>{verdict}{_facts(report)}"
        f"{_test(report.test) if report.test else ''}{_photos(report)}{_signatures(report)}"
        f'<script type="application/json" id="site-report">{data}</script></body></html>\n'
    )


def _facts(r: SiteReport) -> str:
    place = (
        f"{r.latitude:.6f}, {r.longitude:.6f}" if r.latitude is not None and r.longitude is not None else ""
    )
    rows = {
        "Site": r.site,
        "District": r.district,
        "Place (WGS 84)": place,
        "Height of the sensors": "" if r.height_m is None else f"{r.height_m:g} m",
        "Agent": r.test.version if r.test else "",
        "Made at": r.made_at,
        "Report": r.id,
        "Note": r.note,
    }
    told = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in rows.items() if value)
    return f"<dl>{told}</dl>"


def _test(test: SiteTest) -> str:
    rows = "".join(
        f'<tr class="{"yes" if line.ok else "no"}"><td>{line.verdict}</td>'
        f"<td>{escape(line.name)}</td><td>{escape(line.detail)}"
        f"{f'<br>{escape(line.remedy)}' if line.remedy else ''}</td></tr>"
        for line in test.lines
    )
    return (
        f"<h2>Site test of {escape(test.made_at)}</h2><table><thead><tr><td></td><th>What</th>"
        f"<th>Seen</th></tr></thead><tbody>{rows}</tbody></table><h2>Readings during the test</h2>"
        f"<figure>{picture(test.courses, test.span_s)}</figure>"
    )


def _photos(report: SiteReport) -> str:
    shown = "".join(
        f'<figure><img alt="{escape(p.caption or "The site")}" src="data:{p.media_type};base64,'
        f'{base64.b64encode(p.content).decode()}"><figcaption>{escape(p.caption)}</figcaption></figure>'
        for p in report.photos
    )
    return f"<h2>Pictures</h2>{shown}" if shown else ""


def _signatures(report: SiteReport) -> str:
    return (
        f'<div class="sign"><div>Handed over by {escape(report.technician)}</div>'
        f"<div>Received by {escape(report.received_by)}</div></div>"
    )
