"""How a call can end other than well. Knows no call and no server."""


class No(Exception):
    """The server does not do it, or does what it must refuse; says which."""


class Differs(Exception):
    """The server does it, but not as S3 does; says how."""
