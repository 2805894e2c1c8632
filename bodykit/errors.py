"""Errors for the user of a command, not for its programmer."""


class UserError(Exception):
    """An error that the user can fix. The message tells what was wrong, what was expected and what came."""
