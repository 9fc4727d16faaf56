"""Numbers and dates as readers see them; the same text in every locale and time zone."""

from datetime import UTC, date, datetime
from functools import lru_cache

# own names: strftime's depend on the locale, and the same input must give the same bytes
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
NBSP = "\u00a0"
MINUS = "\u2212"


@lru_cache(20_000)
def percent(hundredths: int) -> str:
    """4807 -> '48.07 %' with a no-break space."""
    return f"{hundredths // 100}.{hundredths % 100:02d}{NBSP}%"


@lru_cache(20_000)
def thousands(count: int) -> str:
    return f"{count:,}"


def kilobytes(count: int) -> str:
    """45678 -> '46 kB'; one unit for all, so that a column compares at a glance. At least 1."""
    return f"{(count + 500) // 1000 or 1:,}{NBSP}kB"


@lru_cache(20_000)
def interval(bounds: tuple[float, float]) -> str:
    """A 95 % interval in percent with one decimal: '51.1–53.1'."""
    return f"{100 * bounds[0]:.1f}–{100 * bounds[1]:.1f}"


def points(fraction: float) -> str:
    """A difference in percentage points with its sign: '+1.52', '−0.30'."""
    text = f"{100 * fraction:+.2f}"
    return text.replace("-", MINUS) if float(text) else "0.00"


def change(values: tuple[float, float, float]) -> str:
    """A gain with its interval: '+1.52 (+0.91 to +2.13)', which a narrow column breaks before the bracket only."""
    gain, low, high = values
    return f"{points(gain)} ({points(low)}\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}{points(high)})"


def day(moment: date) -> str:
    return f"{WEEKDAYS[moment.weekday()]}, {moment.day} {MONTHS[moment.month - 1]} {moment.year}"


@lru_cache(1_000)
def iso(moment: date) -> str:
    return moment.isoformat()


def short_day(moment: date) -> str:
    return f"{moment.day} {MONTHS[moment.month - 1][:3]}"


def clock(moment: datetime) -> str:
    """'15:59:59 UTC+01:00': the time as set, with its offset, so that nobody has to guess the zone."""
    offset = moment.strftime("%z")
    zone = "" if offset == "+0000" else f"{offset[:3]}:{offset[3:5]}"
    return f"{moment:%H:%M:%S} UTC{zone}"


def utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)
