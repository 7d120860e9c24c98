"""Uformer Hub, the service: photos in, jobs that survive, restored photos out."""
