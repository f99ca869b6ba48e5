"""The keywords of `Settings.load`, which editors complete, are the sections and their names."""

from dataclasses import fields
from typing import get_type_hints

from hermes.dataset import Dataset
from hermes.settings import Settings
from hermes.settings.keywords import Keywords


def test_they_are_all_settings_and_no_others():
    sections = get_type_hints(Keywords)
    assert sections.keys() == Settings.model_fields.keys(), "name every section in settings/keywords.py"
    for name, field in Settings.model_fields.items():
        if name == "strategy":  # every strategy has parameters of its own
            continue
        known = [each.name for each in fields(Dataset)] if name == "dataset" else field.annotation.model_fields
        assert list(get_type_hints(sections[name])) == list(known), f"[{name}] in settings/keywords.py"
