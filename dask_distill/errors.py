"""The errors that users meet: each says the parameter, the rule, the value found, the way out."""


class DistillError(Exception):
    """Base of the errors of this package."""


class InputError(DistillError, ValueError):
    """Input, a parameter or a target that cannot be used; raised before anything is written."""


class InputWarning(UserWarning):
    """Something was decided for who opens or writes data, and should be looked at."""


class IncompleteOutput(DistillError):  # noqa: N818  (the name users know it by)
    """A target without its commit marker, or with parts of it missing."""
