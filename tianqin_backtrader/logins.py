"""What the words of a failed login mean: mend the credentials, or try again. Pure.

TqSdk raises bare exceptions. Their texts, and those of the futures brokers' gateways, are:
- 用户权限认证失败 (401,{...}): what the login server answered; 4xx refuses, but 408 and 429, and
  5xx, say that it is busy or away (tqsdk.auth)
- 每日 19:00-19:30 为日常运维时间: the nightly maintenance (tqsdk.connect)
- 调用名称服务失败: the name service is away (tqsdk.auth)
- CTP:不合法的登录, 密码..., 登录失败次数超限, 账户...锁定: the broker refuses these credentials
- CTP:还没有初始化 and others: the broker is not open yet
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .errors import GatewayTimeout, LoginRefused

__all__ = ["account_refusal", "is_cut", "is_refusal", "login_failure"]

BUSY = (408, 429)
DISCONNECTED = 2019112911  # tqsdk.connect
FOR_NOW = ("运维时间", "调用名称服务失败", "超时", "Expecting value")
REFUSED = ("不合法的登录", "密码", "超限", "锁定")
STATUS = re.compile(r"失败\D{0,3}(\d{3})\b")


def is_refusal(text: str) -> bool:
    """Whether what the login raised would be raised again however often one tries."""
    if any(words in text for words in FOR_NOW):
        return False
    status = STATUS.search(text)
    if status is None:
        return True
    return int(status[1]) < 500 and int(status[1]) not in BUSY


def login_failure(said: str) -> LoginRefused | GatewayTimeout:
    """The error that stands for what TqSdk raised when it logged in: its text, without secrets."""
    if is_refusal(said):
        return LoginRefused(f"TqSdk refused the session: {said}")
    return GatewayTimeout(f"TqSdk cannot log in for now: {said}")


def account_refusal(notices: Mapping[str, Any]) -> str:
    """The text by which the broker's gateway refuses the account; empty while it does not."""
    for notice in notices.values():
        text = str(notice.get("content", ""))
        is_trading = "_account_name" in notice or str(notice.get("conn_id", "")).startswith("td")
        is_error = is_trading and notice.get("level") == "ERROR"
        if is_error and any(words in text for words in REFUSED):
            return text
    return ""


def is_cut(notices: Mapping[str, Any]) -> bool:
    """Whether a socket of a session that is being opened was lost, or refused."""
    return any(notice.get("code") == DISCONNECTED for notice in notices.values())
