"""What a site may write in YAML and CSV: models, a loader with line-exact errors, JSON Schema.

Guarantees: a `Catalogue` that `load` returns is consistent as a whole (every size, institution and claim that is
named exists), and a catalogue with mistakes is reported with all of them at once.
"""
