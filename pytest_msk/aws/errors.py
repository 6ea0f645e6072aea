"""Refusals as AWS words them: a code that the service model knows, a text, the member at fault."""

from __future__ import annotations

from pytest_msk.errors import MskError


class AwsError(MskError):
    """What an operation answers when it refuses.

    Attributes:
        code: the exception's name in the service model, ``BadRequestException`` say. Its HTTP status
            comes from the model too.
        message: the text the caller sees.
        invalid_parameter: the member at fault, by its name on the wire (``clusterName``).
    """

    def __init__(self, code: str, message: str, invalid_parameter: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.invalid_parameter = invalid_parameter


def bad_request(message: str, invalid_parameter: str | None = None) -> AwsError:
    """The request cannot be met as it stands (400)."""
    return AwsError("BadRequestException", message, invalid_parameter)


def not_found(message: str, invalid_parameter: str | None = None) -> AwsError:
    """The resource does not exist (404)."""
    return AwsError("NotFoundException", message, invalid_parameter)


def conflict(message: str, invalid_parameter: str | None = None) -> AwsError:
    """The resource exists already (409)."""
    return AwsError("ConflictException", message, invalid_parameter)
