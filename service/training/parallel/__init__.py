"""Training on several GPUs, of one machine or of a Ray cluster.

`launcher` starts and supervises one process per GPU and decides the outcome of all, `ranks` is how
these processes communicate, and `ray_supervisor` with `ray_node` do on a cluster what `launcher`
does on one machine.
"""
