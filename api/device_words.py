"""What a browser calls itself, in few words that its person knows it by: `Safari (iPhone)`.

Browsers say more than is true, so that the first that fits counts. Nothing depends on it: it is for recognising
one's own phone in a list.
"""

from __future__ import annotations

from typing import Final

from api.shapes import Names

_BROWSERS: Final = (
    ("Edg", "Edge"), ("OPR/", "Opera"), ("SamsungBrowser", "Samsung Internet"), ("Firefox", "Firefox"),
    ("FxiOS", "Firefox"), ("CriOS", "Chrome"), ("Chrome/", "Chrome"), ("Line/", "LINE"), ("Safari/", "Safari"),
    ("python-httpx", "httpx"), ("curl/", "curl"),
)  # fmt: skip
_DEVICES: Final = (
    ("iPhone", "iPhone", "iPhone"), ("iPad", "iPad", "iPad"), ("Android", "Android", "Android"),
    ("Windows", "Windows", "Windows"), ("CrOS", "Chromebook", "Chromebook"), ("Macintosh", "Mac", "Mac"),
    ("Linux", "Linux", "Linux"),
)  # fmt: skip
UNKNOWN: Final = Names(ja="不明な 端末", en="unknown device")


def device_words(user_agent: str) -> Names:
    """The browser and the device of a `User-Agent`."""
    browser = next((name for mark, name in _BROWSERS if mark in user_agent), "")
    device = next(((ja, en) for mark, ja, en in _DEVICES if mark in user_agent), None)
    if device is None:
        return Names(ja=browser, en=browser) if browser else UNKNOWN
    if not browser:
        return Names(ja=device[0], en=device[1])
    return Names(ja=f"{device[0]}の {browser}", en=f"{browser} on {device[1]}")
