"""The Grafana dashboard of the chart: `python -m tools.dashboard` writes its JSON from `dashboard_panels`.

Two variables choose the Prometheus and the lab's namespace.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.dashboard_panels import COLOURS, ROWS, Panel

FILE = Path(__file__).parents[1] / "helm" / "kirzl-lab" / "monitoring" / "dashboard.json"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana reads it."""
    panels: list[dict[str, Any]] = []
    top = 0
    for row in ROWS:
        place = {"x": 0, "y": top, "w": 24, "h": 1}
        panels.append({"id": len(panels) + 1, "type": "row", "title": row.title, "gridPos": place, "collapsed": False})
        left, top = 0, top + 1
        for panel in row.panels:
            place = {"x": left, "y": top, "w": panel.width, "h": panel.height}
            panels.append({"id": len(panels) + 1, "gridPos": place, **_drawn(panel)})
            left += panel.width
        top += max(panel.height for panel in row.panels)
    return {
        "uid": "kirzl-lab",
        "title": "KIRZL Lab",
        "tags": ["kirzl-lab"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "1m",
        "time": {"from": "now-12h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_datasource(), _namespace()]},
        "panels": panels,
    }


def _drawn(panel: Panel) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + number), "expr": expression, "legendFormat": legend, "datasource": SOURCE}
        for number, (legend, expression) in enumerate(panel.queries.items())
    ]
    common = {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.says,
        "datasource": SOURCE,
        "targets": targets,
    }
    return common | (_number(panel) if panel.kind == "stat" else _over_time(panel))


def _number(panel: Panel) -> dict[str, Any]:
    steps = [{"value": value, "color": colour} for value, colour in panel.steps]
    return {
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "decimals": 0,
                "noValue": "0" if panel.unit == "short" else "–",
                "color": {"mode": "thresholds"},
                "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [],
        },
        "options": {
            "colorMode": "value",
            "graphMode": "area",
            "textMode": "value",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        },
    }


def _over_time(panel: Panel) -> dict[str, Any]:
    bars, filled = panel.style == "bars", panel.style != "lines"
    custom = {
        "drawStyle": "bars" if bars else "line",
        "lineWidth": 0 if bars else 2,
        "fillOpacity": 80 if bars else 25 if filled else 0,
        "lineInterpolation": "stepAfter" if panel.style == "area" else "linear",
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if filled else "none", "group": "A"},
    }
    return {
        # An interval in which there is something to count; Grafana widens it with the time that is shown.
        "interval": "5m" if bars else "1m",
        "maxDataPoints": 72 if bars else 300,
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "min": 0,
                "decimals": 0 if bars or panel.style == "area" else None,
                "color": {"mode": "palette-classic"},
                "custom": custom,
            },
            "overrides": [*_overrides(panel)],
        },
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    }


def _overrides(panel: Panel) -> Iterator[dict[str, Any]]:
    for legend in panel.queries:
        for name, colour in COLOURS.get(legend, {}).items():
            fixed = {"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}
            yield {"matcher": {"id": "byName", "options": name}, "properties": [fixed]}


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0}


def _namespace() -> dict[str, Any]:
    query = "label_values(kirzl_lab_running_servers, namespace)"
    return {
        "name": "namespace",
        "label": "Namespace",
        "type": "query",
        "datasource": SOURCE,
        "definition": query,
        "query": {"query": query, "refId": "namespace"},
        "refresh": 2,
        "sort": 1,
    }


def text() -> str:
    """The file's content: a panel a line, so that a change shows where it is."""
    whole = dashboard()
    panels = ",\n".join(f"  {json.dumps(panel, ensure_ascii=False)}" for panel in whole.pop("panels"))
    rest = "".join(f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)},\n" for key, value in whole.items())
    return f'{{\n{rest} "panels": [\n{panels}\n ]\n}}\n'


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
