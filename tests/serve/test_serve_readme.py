"""The README names every variable and every figure that there is, and no other."""

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from overfetch_serve.metrics import Metrics
from overfetch_serve.settings import ServiceSettings

README = (Path(__file__).parents[2] / "packages/overfetch-serve/README.md").read_text(encoding="utf-8")


def first_cells(section: str) -> list[str]:
    """What stands in quotes in the first column of the section's table."""
    text = README.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return [name for row in re.findall(r"^\| (`.*?) \|", text, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)]


def test_every_variable_is_in_the_table() -> None:
    named = [name.removeprefix("OVERFETCH_SERVE_").lstrip("_").lower() for name in first_cells("Settings")]
    assert sorted(named) == sorted(ServiceSettings.model_fields)


def test_every_figure_is_in_the_table() -> None:
    families = text_string_to_metric_families(Metrics().exposition({}, "mini").decode())
    there = {f"{f.name}_total" if f.type == "counter" else f.name for f in families}
    assert set(first_cells("Metrics")) == there
