"""Why a login is refused: one slug for each reason, which people can quote and the audit keeps."""

from enum import StrEnum


class Reason(StrEnum):
    """What was wrong. The names are for people who read a log; none of them holds a secret."""

    # the answer that the browser brought
    NOT_BEGUN = "state-unknown"
    OTHER_INSTITUTION = "state-of-another-institution"
    OTHER_BROWSER = "state-of-another-browser"
    REPEATED_PARAMETER = "parameter-repeated"
    MIXED_UP = "iss-parameter"
    NO_CODE = "code-missing"
    ERROR_ANSWER = "error-from-institution"
    # the token endpoint
    CODE_REFUSED = "code-refused"
    BAD_ANSWER = "answer-unreadable"
    NO_ID_TOKEN = "id-token-missing"  # noqa: S105 - what is missing, not a token
    # the ID token
    TOO_LARGE = "too-large"
    MALFORMED = "id-token-malformed"
    ALGORITHM = "algorithm"
    UNKNOWN_KEY = "key-unknown"
    SIGNATURE = "signature"
    ISSUER = "issuer"
    AUDIENCE = "audience"
    AUTHORIZED_PARTY = "azp"
    TIMES = "times-missing"
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    NONCE = "nonce"
    SUBJECT = "subject"
    ACCESS_TOKEN_HASH = "at-hash"  # noqa: S105 - the name of a claim
    # userinfo
    USERINFO_SUBJECT = "userinfo-subject"


class Refused(Exception):  # noqa: N818 - reads as what happened where it is raised
    """A login did not pass a check. The front turns it into the page that fits."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        super().__init__(reason.value)


class Unreachable(Exception):  # noqa: N818 - the same
    """An institution's provider did not answer, or not in a way that a retry could not mend."""
