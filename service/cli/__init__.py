"""`finetuned-server`: one command for every process and for operator tasks.

`app.py` starts the processes and lists all commands. A group, such as `keys`, is a module with its
name. `maintenance.py` declares doctor, backups and encryption, and `reference.py` prints documents.
`connections.py` opens the installation that a command is about, and records in the audit log what
it did.
"""
