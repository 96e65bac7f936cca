"""The words that every other room of Makiba uses.

Nothing in here opens a socket or a database, or knows who uses it.
"""
