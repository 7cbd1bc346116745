"""The queue of a server: alone on its machine, or with workers on any number of machines, by Celery on Redis."""
