"""What is done to the data of an uploaded file: checked, reported on, cleaned.

The work itself is the data desk's (`service.datasets`), in child processes of a worker; this
room asks for it over HTTP, queues it, and keeps what comes out.
"""
