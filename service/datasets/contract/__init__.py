"""Types that a worker and its child process `python -m service.datasets` exchange.

`tasks.py` has the spec and the answer of each task, and the messages of the child. `report.py`,
`preview.py`, and `versions.py` have the larger answers. Workers and the API import these modules,
so none of them imports a library that reads files.
"""
