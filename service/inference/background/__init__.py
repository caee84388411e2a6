"""Requests of workers to engines, behind those of users, and the base of tasks that send them."""
