"""Reading from and writing to client connections, at a lower cost than the libraries."""
