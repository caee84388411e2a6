"""`finetuned-server up`: the whole service on one machine, as supervised child processes."""
