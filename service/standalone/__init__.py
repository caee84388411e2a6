"""`finetuned-server up`: all processes of an installation as supervised children on one machine.

`up.py` starts them in order, `services.py` defines each, and `supervisor.py` decides about restarts
and stops. `placement.py` and `sharing.py` decide which GPUs serve and train. `layout.py` names the
files of the data folder.
"""
