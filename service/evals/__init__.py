"""Evals: the API of OpenAI's evals and graders, and the runs that sample and grade their items.

Built on `grading` and `inference.background`, without knowing jobs. `task.py` does the work of a
run, `stored_items.py` reads stored chats, `item_work.py` decides whether an item passes, `tally.py`
adds up outcomes, and `records.py` and `outcomes.py` store them. Evaluations of jobs share
`sampling.py` and `judge.py`.
"""
