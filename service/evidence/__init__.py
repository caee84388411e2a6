"""Evidence of a trained model: one signed archive from which others can examine how it came to be.

It is read from the records of all packages below, and states nothing of its own. `collect.py`
builds the parts, `archive.py` the members and their signature, `page.py` what a person reads. The
client verifies an archive (`finetuned.evidence`), without this package.
"""
