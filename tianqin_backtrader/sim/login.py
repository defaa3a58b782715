"""The two HTTP calls of a TqSdk login, and the grants it reads. Any user and password is welcome.

The access token is a JWT whose signature nobody checks (TqAuth.login decodes it unverified).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

__all__ = ["routes"]

REALM = "/auth/realms/shinnytech"
FEATURES = ["futr", "tq_ma", "tq_dl", "tq_lc_rk"]  # all but what has servers of its own
NEVER_S = 4_102_415_999  # 2099-12-31 23:59:59 +08:00, what TqSdk reads as "no end"


def routes(refused: Callable[[], bool]) -> list[web.RouteDef]:
    """The login's addresses; `refused` says whether logins are refused just now."""

    accounts: set[str] = set()

    async def token(request: web.Request) -> web.Response:
        form = await request.post()
        if refused():
            return web.json_response({"error": "invalid_grant"}, status=401)
        user = str(form.get("username") or form.get("refresh_token") or "")
        return web.json_response({"access_token": _jwt(user, accounts), "refresh_token": user})

    async def grant(_: web.Request) -> web.Response:
        return web.json_response({"exp": NEVER_S, "daysleft": 36_500, "account_type": "local"})

    async def add_account(request: web.Request) -> web.Response:
        accounts.add(request.match_info["account"])
        return web.json_response({})

    return [
        web.post(f"{REALM}/protocol/openid-connect/token", token),
        web.get(f"{REALM}/rest/get-grant/tq", grant),
        web.put(f"{REALM}/rest/update-grant-accounts/{{account}}", add_account),
    ]


def _jwt(user: str, accounts: set[str]) -> str:
    claims = {"sub": user, "grants": {"features": FEATURES, "accounts": sorted(accounts)}}
    return ".".join((_part({"alg": "HS256", "typ": "JWT"}), _part(claims), _part("local")))


def _part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
