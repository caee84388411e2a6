"""The asynchronous client, of which `make clients` makes the synchronous one."""
