"""Models: the catalog of base models, the registry of trained ones, sharing, and aliases.

Knows projects, but neither files nor jobs. `registry.py` resolves a requested name, and draws the
target of an alias that splits its traffic; `aliases/` sets, gates and rolls back aliases. `add.py`
adds base models from `sources/`; `model_folder.py` decides which folders are accepted, and
`parsers.py` chooses vLLM's parsers. `adapter_check.py` compares an adapter with its base model, and
`adapters.py` signs adapters for engines.
"""
