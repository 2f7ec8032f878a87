"""YAML in which a key that is given twice is an error; of plain PyYAML the last one wins, without a word."""

from __future__ import annotations

from typing import Any

import yaml


class TwiceError(yaml.YAMLError):
    """A mapping has a key twice; the text names the key and where it stands."""


class _Loader(yaml.SafeLoader):
    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """As PyYAML does; keys are looked at before `<<` brings others in, which a mapping's own may replace."""
        node = super().compose_mapping_node(anchor)
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            name, line = (key.tag, key.value), key.start_mark.line + 1
            if name in lines:
                before = lines[name]
                where = f"in line {line}" if before == line else f"in lines {before} and {line}"
                raise TwiceError(f"the key {key.value!r} stands twice, {where}. Keep one of them.")
            lines[name] = line
        return node


def load(text: str) -> Any:
    """What the text holds; YAMLError where it is no YAML, TwiceError where a key is given twice."""
    return yaml.load(text, _Loader)
