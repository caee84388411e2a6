"""Batches: OpenAI's `/v1/batches`, and the task that answers the requests of a file.

`input_lines.py` checks the input file, `request_work.py` checks and sends each request as the
gateway does, `results.py` writes the output and error files, and `records.py` has the lifecycle.
"""
