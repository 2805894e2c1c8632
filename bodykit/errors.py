"""Errors that are told to the person at the keyboard, not to a programmer."""


class UserError(Exception):
    """Something the user can mend. The message says what was wrong, what was expected and what came."""
