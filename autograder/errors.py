"""Errors that the command line prints as one line with exit code 2; anything else is a bug and keeps its traceback."""


class CourseError(Exception):
    """Something a member of staff can put right; the message says what was expected, what was found and what to do."""


class ManifestError(CourseError):
    """`solutions/course.toml` or a notebook source disagrees with the grammar or with the other."""


class MarkerError(CourseError):
    """A solution or hidden-test marker is misspelt, unclosed or nested."""


class SubmissionError(CourseError):
    """A drop folder, roster or submission cannot be taken in."""


class SandboxError(CourseError):
    """No working sandbox on this machine, or it could not be started."""


class HiddenSetError(CourseError):
    """The hidden test set is missing, damaged or in an unsafe place."""


class RecordsError(CourseError):
    """The record of submissions and results cannot be read or written."""
