"""Searches a data set for names and addresses with a token classifier of the operator.

`python -m service.personal_data_model` runs offline in a child process of its own, because
`service.datasets` imports no torch. It reads the spec of a report or a cleaning, and writes what it
found in each text, which the task then takes as findings like those of its rules.
"""
