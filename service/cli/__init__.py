"""`finetuned-server`: one command for every process and for operator tasks.

`app.py` lists the commands. A group, such as `keys`, is a module with its name. `processes.py`
starts the processes, `maintenance.py` declares doctor, backups and encryption, and `reference.py`
prints documents. `connections.py` opens the installation that a command is about, and records in
the audit log what it did.
"""
